"""A run's folder: one place for everything a run knows, all of it data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.errors import UserError, writing

DEVICES = "devices"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run.

    Attributes:
        path: the folder.
        device: profile whose search is meant, in a run for several; None in a run for one.
    """

    path: Path
    device: str | None = None

    @classmethod
    def at(cls, path: Path) -> RunFolder:
        """The run at ``path``, which may also be one of its ``devices/NAME``."""
        if path.parent.name == DEVICES and (path.parent.parent / "config.yaml").exists():
            return cls(path.parent.parent, path.name)
        return cls(path)

    @property
    def found(self) -> Path:
        """Where the search and what came of it lie; all else is shared by a run's profiles."""
        return self.path if self.device is None else self.path / DEVICES / self.device

    @property
    def title(self) -> str:
        """The run's name, and the profile's where it has several."""
        name = self.path.resolve().name
        return name if self.device is None else f"{name}/{self.device}"

    def parts(self) -> tuple[RunFolder, ...]:
        """One for each profile's search: itself, or those in ``devices/``."""
        folder = self.path / DEVICES
        if self.device is not None or not folder.is_dir():
            return (self,)
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        return tuple(RunFolder(self.path, name) for name in names)

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def space(self) -> Path:
        """The search space: its declaration, digest and cardinality."""
        return self.path / "space.json"

    @property
    def splits(self) -> Path:
        """Which image went into which split."""
        return self.path / "splits.json"

    @property
    def val_images(self) -> Path:
        """Decoded validation images, shared by all evaluating processes."""
        return self.path / "val_images.safetensors"

    @property
    def supernet(self) -> Path:
        """The supernet's checkpoint."""
        return self.path / "supernet.safetensors"

    @property
    def init(self) -> Path:
        """Which weights the supernet started from, where some were named."""
        return self.path / "init.json"

    @property
    def training_log(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "training.jsonl"

    @property
    def evaluations(self) -> Path:
        """The evaluation store."""
        return self.path / "evaluations.jsonl"

    @property
    def memory(self) -> Path:
        """Measured peak memory, and how well the closed form tells it."""
        return self.path / "profiles" / "memory.json"

    @property
    def study(self) -> Path:
        """The study, in Optuna's journal format."""
        return self.found / "study.journal"

    @property
    def front(self) -> Path:
        """The verified front."""
        return self.found / "front.json"

    @property
    def start(self) -> Path:
        """The architectures the search began with, where some were named."""
        return self.found / "start.json"

    def front_measurements(self, profile_key: str, images: str = "") -> Path:
        """Measurements of front members, apart from those the predictor learned from.

        Args:
            profile_key: of the profile.
            images: which images they were taken on, where that matters.
        """
        return self.path / "profiles" / f"{profile_key}.front{images and '.'}{images}.jsonl"

    @property
    def best(self) -> Path:
        """The winner; its weights and ONNX file lie beside it."""
        return self.found / "best.json"

    @property
    def report(self) -> Path:
        """The report, one self-contained page."""
        return self.found / "report.html"

    @property
    def seconds(self) -> Path:
        """How long each step took."""
        return self.path / "seconds.json"

    def measurements(self, profile_key: str) -> Path:
        """Latency measurements of a hardware profile."""
        return self.path / "profiles" / f"{profile_key}.jsonl"

    def memory_measurements(self, profile_key: str) -> Path:
        """Peak memory of the networks that a profile's form is fitted to."""
        return self.path / "profiles" / f"{profile_key}.memory.json"

    def hardware_file(self, profile_key: str) -> Path:
        """A hardware profile with its measurements, as others can use it."""
        return self.path / "profiles" / f"{profile_key}.hardware.json"

    def predictor(self, profile_key: str) -> Path:
        """The fitted predictor of a hardware profile."""
        return self.path / "profiles" / f"{profile_key}.predictor.json"

    @property
    def proxies(self) -> Path:
        """How well proxies rank this run's architectures; the table is beside it as CSV."""
        return self.path / "proxies.json"

    @property
    def baselines(self) -> Path:
        """Nets trained alone to compare the winner with, where that was asked for."""
        return self.found / "baselines.json"

    def pick(self, digest: str) -> Path:
        """``best.json`` of another member that was picked."""
        return self.found / "picks" / digest / "best.json"


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file atomically: a kill or a full disk leaves the old one whole.

    Raises:
        UserError: it cannot be written.
    """
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error})") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a JSON object")
    return data


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")
