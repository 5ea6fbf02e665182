"""``python -m nas.dashboard.explaining.worker BEST.json IMAGES.safetensors OUT.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from nas.dashboard.explaining.drawing import as_uri, fates, heat, to_pixels
from nas.dashboard.explaining.legrad import Relevance, relevance
from nas.export.best import load_model, read_best
from search_spaces.errors import UserError

MAX_IMAGES = 512
EACH = 6
"""Right and wrong predictions that are shown."""


def explain(best: Path, images: Path, out: Path) -> dict[str, Any]:
    """Explain an exported model on validation images.

    Args:
        best: ``best.json``; the weights lie beside it.
        images: ``val_images.safetensors``: ``images`` (normalised) and ``labels``.
        out: the JSON file to write.

    Raises:
        UserError: the files cannot be read or do not fit.
    """
    torch.set_num_threads(max(1, min(4, torch.get_num_threads())))
    data, model = read_best(best), load_model(best)
    tensors = load_file(images)
    x_BCHW, labels_B = tensors["images"][:MAX_IMAGES], tensors["labels"][:MAX_IMAGES]
    with torch.inference_mode():
        share_BK = torch.cat([model(part) for part in torch.split(x_BCHW, 64)]).softmax(dim=1)
    right_B = share_BK.argmax(dim=1) == labels_B
    chosen = [*_first(~right_B), *_first(right_B)]
    found = relevance(model, x_BCHW[chosen])
    names = [str(name) for name in data["task"]["classes"]]
    samples = [
        _sample(place, index, found, x_BCHW, labels_B, share_BK, names, data["transform"])
        for place, index in enumerate(chosen)
    ]
    made = {
        "digest": data["digest"],
        "images": len(x_BCHW),
        "right": int(right_B.sum()),
        "how": list(found.how),
        "samples": samples,
    }
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(made), encoding="utf-8")
    temporary.replace(out)
    return made


def _first(mask_B: torch.Tensor) -> list[int]:
    return [int(index) for index in mask_B.nonzero()[:EACH, 0]]


def _sample(
    place: int,
    index: int,
    found: Relevance,
    x_BCHW: torch.Tensor,
    labels_B: torch.Tensor,
    share_BK: torch.Tensor,
    names: Sequence[str],
    transform: dict[str, Any],
) -> dict[str, Any]:
    pixels = to_pixels(x_BCHW[index].numpy(), transform["mean"], transform["std"])
    guess = int(share_BK[index].argmax())
    relevance_RC = found.patches_BP[place].reshape(found.grid).double().numpy()
    return {
        "index": index,
        "label": names[int(labels_B[index])],
        "predicted": names[guess],
        "confidence": float(share_BK[index, guess]),
        "image": as_uri(pixels),
        "heat": as_uri(heat(pixels, relevance_RC)),
        "fates": _fates(place, found, pixels),
    }


def _fates(place: int, found: Relevance, pixels: Any) -> list[dict[str, Any]]:
    """A picture behind every block that changed what tokens stand for."""
    made = []
    before = np.arange(found.grid[0] * found.grid[1])
    for number, state in enumerate(found.states, start=1):
        assert state.parent_BP is not None
        parent = state.parent_BP[place].numpy()
        if not np.array_equal(parent, before):
            image, counts = fates(pixels, parent.reshape(found.grid))
            made.append({"block": number, "tokens": state.tokens, **counts, "image": as_uri(image)})
        before = parent
    return made


def main(words: Sequence[str]) -> int:
    """The process."""
    try:
        explain(*(Path(word) for word in words[:3]))
    except (UserError, OSError, KeyError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
