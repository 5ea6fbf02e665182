"""Where a training stands, and its checkpoint: one safetensors file, replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from search_spaces.errors import UserError
from supernet.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from nas.retraining.trainer import AloneTrainer

FORMAT = "formfinder-retrain-1"


@dataclass(slots=True)
class State:
    """What changes from epoch to epoch, beside model, average and optimiser.

    Attributes:
        epoch: epochs done.
        value: val accuracy behind the last of them; None before the first.
        best_value, best_epoch, best: the best on val so far; epoch 0 is the model as given.
    """

    epoch: int = 0
    value: float | None = None
    best_value: float = -1.0
    best_epoch: int = 0
    best: Mapping[str, Tensor] = field(default_factory=dict)


def save_state(path: Path, trainer: AloneTrainer) -> None:
    """Write everything that the next epoch needs.

    Raises:
        UserError: it cannot be written; the one before is still there.
    """
    state = trainer.state
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    for index, moments in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items()}
    data = {
        "identity": trainer.identity,
        "epoch": state.epoch,
        "value": state.value,
        "best_value": state.best_value,
        "best_epoch": state.best_epoch,
        "scaler": trainer.scaler.state_dict(),
    }
    # Equal tensors may share memory, which safetensors refuses.
    whole = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    save_checkpoint(path, Checkpoint(whole, data), FORMAT)


def load_state(path: Path, trainer: AloneTrainer) -> None:
    """Put a checkpoint into a trainer of the same training.

    Raises:
        UserError: it is damaged, or of another training.
    """
    checkpoint = load_checkpoint(path, FORMAT)
    data: Mapping[str, Any] = checkpoint.data
    if data["identity"] != trainer.identity:
        raise UserError(f"{path}: of another training; move it away to begin anew")
    trainer.model.load_state_dict(checkpoint.section("model"))
    trainer.average.load_state_dict(checkpoint.section("average"))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in checkpoint.section("optimiser").items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor
    groups = trainer.optimiser.state_dict()["param_groups"]
    trainer.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    trainer.scaler.load_state_dict(data["scaler"])
    trainer.state = State(
        epoch=data["epoch"],
        value=data["value"],
        best_value=data["best_value"],
        best_epoch=data["best_epoch"],
        best=checkpoint.section("best"),
    )
