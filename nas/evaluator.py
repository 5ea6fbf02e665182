"""Accuracy of an architecture with the supernet's weights on the validation images.

Workers build their evaluator from the run folder: weights and decoded images are read once and
stay in memory. Nothing of the test split is in reach here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.run_folder import RunFolder, read_json
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError

if TYPE_CHECKING:
    import torch

CHUNK = 512


@dataclass(frozen=True)
class SupernetEvaluatorFactory:
    """Builds an evaluator from a run folder.

    Attributes:
        folder: the folder that holds space, weights and validation images.
        weights: hash the weights must have.
        num_classes: outputs of the head.
    """

    folder: str
    weights: str
    num_classes: int

    def build(self) -> SupernetEvaluator:
        """Load everything.

        Raises:
            UserError: weights or images are missing, or are not those the study began with.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from nas.device import keep_large_blocks
        from search_spaces.space import SearchSpace
        from supernet.model import Supernet
        from supernet.operators import all_cards
        from supernet.training.checkpoint import weights_hash
        from supernet.training.loop import load_supernet

        keep_large_blocks()
        folder = RunFolder(Path(self.folder))
        space = SearchSpace(read_json(folder.space)["space"], all_cards())
        supernet = load_supernet(Supernet(space, self.num_classes), folder.supernet)
        if weights_hash(supernet.state_dict()) != self.weights:
            raise UserError(f"{folder.supernet}: not the weights this study began with")
        try:
            images = load_file(folder.val_images)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{folder.val_images}: cannot be read ({error}); delete it, and the same command "
                "writes it anew"
            ) from error
        return SupernetEvaluator(supernet, images["images"], images["labels"])


class SupernetEvaluator:
    """Holds the supernet and the normalised validation images.

    Args:
        supernet: trained, in eval mode.
        images_NCHW: normalised float images.
        labels_N: int64.
    """

    def __init__(self, supernet: Any, images_NCHW: torch.Tensor, labels_N: torch.Tensor) -> None:
        self.supernet = supernet
        self.images_NCHW = images_NCHW
        self.labels_N = labels_N

    def evaluate(self, architecture: Architecture) -> dict[str, float]:
        """``{"accuracy": share of right answers}``."""
        hits_N = hits(
            lambda images: self.supernet(images, architecture), self.images_NCHW, self.labels_N
        )
        return {"accuracy": float(hits_N.double().mean())}


def hits(model: Any, images_NCHW: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Which images a model answers rightly, bool ``(N,)``, in chunks."""
    import torch

    from nas.tasks import TASKS

    task, found = TASKS["classification"], []
    with torch.inference_mode():
        for start in range(0, len(labels_N), CHUNK):
            logits_BK = model(images_NCHW[start : start + CHUNK])
            found.append(task.hits(logits_BK, labels_N[start : start + CHUNK]))
    return torch.cat(found)
