"""What a format's file provides: how it is written, and how what was written is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from search_spaces.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn

    from supernet.extract import VisionTransformer

Images = npt.NDArray[np.float32]
Call = Callable[[Images], npt.NDArray[np.float32]]
"""Normalised images ``(B, C, H, W)`` → logits ``(B, K)``."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Material:
    """What formats are made from.

    Attributes:
        model: the standalone model, in eval mode.
        best: the content of its ``best.json``.
        example_BCHW: normalised validation images of the profile's batch.
        calibration: normalised *training* images in batches of that size.
        threads: of the profile.
    """

    model: VisionTransformer
    best: Mapping[str, Any]
    example_BCHW: Images
    calibration: tuple[Images, ...]
    threads: int

    @property
    def architecture(self) -> Architecture:
        """What the model is."""
        return self.model.architecture

    @property
    def classes(self) -> list[str]:
        """Names by label."""
        return list(self.best["task"]["classes"])


class Format(ABC):
    """One way to hand a model on.

    Attributes:
        name: what it is called on the command line (``export.formats=[NAME]``).
        summary: one line for ``formfinder list format``.
        files: what it writes, below the folder of the exports; the first is the one to run.
        runtime: what runs it, in words.
        exact: held to 1e-4 of torch; otherwise (8 bits) only the answers are compared.
        fixed_batch: takes batches of the profile's size only.
        clock: what its calls are timed by; ``wall`` where the work is done in other threads.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    runtime: ClassVar[str]
    exact: ClassVar[bool] = True
    fixed_batch: ClassVar[bool] = False
    clock: ClassVar[str | None] = None

    def unavailable(self) -> str | None:
        """Why it cannot be written here (a missing package, say), or None."""
        return None

    def refuses(self, architecture: Architecture) -> str | None:
        """Why this architecture cannot be written so, or None."""
        return None

    @abstractmethod
    def write(self, material: Material, folder: Path) -> None:
        """Write ``files`` below ``folder``."""

    @abstractmethod
    def open(self, folder: Path, threads: int) -> Call:
        """Load what was written, from the files alone, as its user would."""


def module_call(module: nn.Module, threads: int) -> Call:
    """A torch module as a function of arrays."""
    import torch

    from nas.runtimes.torch_eager import torch_threads

    def call(images_BCHW: Images) -> npt.NDArray[np.float32]:
        with torch.inference_mode(), torch_threads(threads):
            logits: npt.NDArray[np.float32] = module(torch.from_numpy(images_BCHW)).numpy()
        return logits

    return call
