"""Accuracy of an architecture with the supernet's weights on the validation images.

The driver reads weights and decoded images once; workers are handed them in memory, and read no
file: on a cluster they may not see the run's folder. Nothing of the test split is in reach here.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas import margins
from nas.executors import Arrays, Part
from nas.run_folder import RunFolder
from nas.runtimes.base import FloatArray
from search_spaces.architecture import Architecture
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError

if TYPE_CHECKING:
    import torch

CHUNK = 512
FIRST_SEED = 6  # of the images of a first look; part of their key in the store
WEIGHTS, IMAGES = "weights.", "val."  # prefixes of the shared arrays' names
ALIGNED = 64  # bytes; kernels may round otherwise, and run slower, on data that starts elsewhere


@dataclass(frozen=True)
class SupernetEvaluatorFactory:
    """Builds evaluators of a run.

    Attributes:
        folder: the folder that holds weights and validation images; only the driver reads it.
        space: the space's declaration, JSON.
        num_classes: outputs of the head.
        weights: hash the weights must have.
        images: hash the images and their labels must have.
        first_look: how many of them make the first part; 0: nobody asks for parts.
    """

    folder: str
    space: str
    num_classes: int
    weights: str
    images: str
    first_look: int = 0

    def shared(self) -> Arrays:
        """Weights and validation images, as ``weights.NAME``, ``val.images`` and ``val.labels``.

        Raises:
            UserError: a file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from supernet.training.checkpoint import load_checkpoint

        folder = RunFolder(Path(self.folder))
        weights = load_checkpoint(folder.supernet).section("average")
        try:
            images = load_file(folder.val_images)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{folder.val_images}: cannot be read ({error}); delete it, and the same command "
                "writes it anew"
            ) from error
        named = {f"{WEIGHTS}{name}": tensor for name, tensor in weights.items()}
        named |= {f"{IMAGES}{name}": tensor for name, tensor in images.items()}
        return {name: tensor.numpy() for name, tensor in named.items()}

    def build(self, shared: Arrays) -> SupernetEvaluator:
        """An evaluator that reads the shared memory itself where it can, and copies nothing.

        Raises:
            UserError: weights or images are not those the study began with.
        """
        import torch

        from nas.device import keep_large_blocks
        from search_spaces.space import SearchSpace
        from supernet.model import Supernet
        from supernet.operators import all_cards

        keep_large_blocks()
        folder = RunFolder(Path(self.folder))
        weights, found = _section(shared, WEIGHTS)
        if found != self.weights:
            raise UserError(f"{folder.supernet}: not the weights this study began with")
        images, found = _section(shared, IMAGES)
        if found != self.images:
            raise UserError(
                f"{folder.val_images}: not the images of this study; delete it, and the same "
                "command writes it anew"
            )
        with torch.device("meta"):
            supernet = Supernet(SearchSpace(json.loads(self.space), all_cards()), self.num_classes)
        supernet.load_state_dict(weights, assign=True)
        supernet.requires_grad_(False).eval()
        return SupernetEvaluator(supernet, images["images"], images["labels"], self.first_look)


def _section(shared: Arrays, prefix: str) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors below a prefix, without it, and their hash."""
    from supernet.training.checkpoint import weights_hash

    tensors = {
        name.removeprefix(prefix): _tensor(array)
        for name, array in shared.items()
        if name.startswith(prefix)
    }
    return tensors, weights_hash(tensors)


def _tensor(array: Any) -> torch.Tensor:
    import torch

    with warnings.catch_warnings():
        # Shared memory is read-only, and torch warns of what writing to it would do.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor if tensor.data_ptr() % ALIGNED == 0 else tensor.clone()


class SupernetEvaluator:
    """Holds the supernet and the normalised validation images.

    Args:
        supernet: trained, in eval mode.
        images_NCHW: normalised float images.
        labels_N: int64.
        first_look: how many images make the first part.
    """

    def __init__(
        self,
        supernet: Any,
        images_NCHW: torch.Tensor,
        labels_N: torch.Tensor,
        first_look: int = 0,
    ) -> None:
        self.supernet = supernet
        self.images_NCHW = images_NCHW
        self.labels_N = labels_N
        self.first_look = first_look
        self._told_I = split_images(len(labels_N), margins.IMAGES)[0]

    def evaluate(self, architecture: Architecture) -> dict[str, float | str]:
        """``accuracy``, the share of right answers, and ``margins`` of some images as text."""
        member = self.supernet.member(architecture).frozen()
        hits_N, margins_N = answers(member, self.images_NCHW, self.labels_N)
        told = margins_N[self._told_I]
        return {"accuracy": float(hits_N.double().mean()), margins.NAME: margins.encoded(told)}

    def evaluate_part(self, architecture: Architecture, part: Part) -> dict[str, float | str]:
        """The same on a part of the images, which is copied chunk by chunk.

        Margins are those of ``evaluate``, told where the part holds their images.
        """
        if part == "all":
            return self.evaluate(architecture)
        first_F, rest_R = split_images(len(self.labels_N), self.first_look)
        chosen = first_F if part == "first" else rest_R
        right, member = 0, self.supernet.member(architecture).frozen()
        margins_N = np.full(len(self.labels_N), np.nan)
        for start in range(0, len(chosen), CHUNK):
            rows = chosen[start : start + CHUNK]
            hits_C, margins_N[rows] = answers(member, self.images_NCHW[rows], self.labels_N[rows])
            right += int(hits_C.sum())
        told = margins_N[self._told_I]
        found: dict[str, float | str] = {"accuracy": right / len(chosen)}
        return found if np.isnan(told).any() else found | {margins.NAME: margins.encoded(told)}


def split_images(count: int, first: int) -> tuple[IntArray, IntArray]:
    """Which images a first look is at, and which are the rest: the same for every study."""
    order_N = np.random.default_rng([0, FIRST_SEED]).permutation(count)
    return np.sort(order_N[:first]), np.sort(order_N[first:])


def answers(
    model: Any, images_NCHW: torch.Tensor, labels_N: torch.Tensor
) -> tuple[torch.Tensor, FloatArray]:
    """Which images a model answers rightly, bool ``(N,)``, and the margins, ``(N,)``."""
    import torch

    from nas.tasks import TASKS

    logits_NK = logits(model, images_NCHW).float()
    with torch.inference_mode():
        right_N = logits_NK.gather(1, labels_N[:, None])[:, 0]
        others_NK = logits_NK.scatter(1, labels_N[:, None], -torch.inf)
        margins_N = (right_N - others_NK.amax(dim=1)).double().numpy()
        return TASKS["classification"].hits(logits_NK, labels_N), margins_N


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


def logits(model: Any, images_NCHW: torch.Tensor) -> torch.Tensor:
    """What a model answers, ``(N, K)``, in chunks."""
    import torch

    with torch.inference_mode():
        return torch.cat([model(part) for part in torch.split(images_NCHW, CHUNK)])
