"""Checkpoints: one safetensors file, replaced atomically; nothing in it executes on load."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from search_spaces.errors import UserError, writing

FORMAT = "formfinder-supernet-1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by dotted name, and plain data beside them."""

    tensors: Mapping[str, Tensor]
    data: Mapping[str, Any]

    def section(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below a prefix, without it."""
        start = f"{prefix}."
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}


def save_checkpoint(path: Path, checkpoint: Checkpoint, kind: str = FORMAT) -> None:
    """Write a checkpoint; a kill or a full disk leaves the one before it whole.

    Args:
        path: the file.
        checkpoint: what goes into it.
        kind: the format that the file names, of a supernet where nothing is said.

    Raises:
        UserError: it cannot be written.
    """
    metadata = {"format": kind, "data": json.dumps(checkpoint.data)}
    save_tensors(path, checkpoint.tensors, metadata)


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, replaced atomically.

    Raises:
        UserError: it cannot be written; an older one is still there.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # One name for all processes: what a killed one left behind is overwritten.
    temporary = path.with_suffix(".tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(whole, temporary, metadata=dict(metadata or {}))
            temporary.chmod(0o644)  # safetensors makes files only their owner can read
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except SafetensorError as error:
            raise UserError(f"{path}: cannot be written: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, kind: str = FORMAT) -> Checkpoint:
    """Read a checkpoint of the format ``kind``.

    Raises:
        UserError: it is missing, damaged, or no checkpoint of ours.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != kind:
                raise UserError(f"{path}: not a Formfinder {kind.split('-')[1]} (format {kind})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(tensors, json.loads(metadata["data"]))
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise UserError(f"{path}: damaged or no checkpoint ({error})") from error


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits of SHA-256 over names, shapes and values: what accuracies belong to."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu").contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)  # copies nothing
    return digest.hexdigest()[:16]
