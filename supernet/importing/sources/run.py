"""Supernets of this project: a run's folder, or a checkpoint file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError, nearest
from supernet.importing.sources import WEIGHTS

if TYPE_CHECKING:
    from supernet.importing.imported import Imported

FILE, SPACE = "supernet.safetensors", "space.json"


@WEIGHTS.register
class RunWeights:
    """``run:RUN`` or ``run:FILE.safetensors``."""

    name = "run"
    summary = "a supernet of ours: run:RUN, run:FILE.safetensors"

    def read(self, where: str) -> Imported:
        """See ``WeightsReader.read``."""
        from search_spaces.space import SearchSpace
        from supernet.importing.imported import Imported
        from supernet.operators import all_cards
        from supernet.training.checkpoint import load_checkpoint

        path = _checkpoint(Path(where).expanduser())
        checkpoint = load_checkpoint(path)
        tensors = checkpoint.section("average")
        if not tensors:
            raise UserError(f"init=run:{where}: {path} holds no averaged weights")
        declared = _declared(path.parent / SPACE)
        space = None if declared is None else SearchSpace(declared, all_cards())
        return Imported(
            origin=f"run:{where}",
            architecture=None if space is None else space.largest(),
            num_classes=int(checkpoint.data.get("num_classes", 0)),
            tensors={name.removeprefix("masters."): tensor for name, tensor in tensors.items()},
            nested=True,
            masters=True,
            joint_qkv_bias=any(name.endswith(".qkv_bias") for name in tensors),
            space=declared,
        )


def _checkpoint(path: Path) -> Path:
    if path.is_dir():
        if not (path / FILE).is_file():
            raise UserError(f"init=run:{path}: no trained supernet there; call formfinder train")
        return path / FILE
    if not path.is_file():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        close = nearest(path.name, beside)
        hint = f"; did you mean {str(path.parent / close)!r}?" if close else ""
        raise UserError(f"init=run:{path}: no such run or file{hint}")
    return path


def _declared(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["space"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, Mapping) else None
