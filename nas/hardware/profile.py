"""The hardware profile: every setting a latency depends on, as one value.

Imports nothing heavy: the command line lists profiles before torch is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from search_spaces.errors import UserError, bad_value, unknown_name

_REACHED = ("command", "describe", "timeout_s")


@dataclass(kw_only=True)
class HardwareConfig:
    """What the config group ``hardware`` chooses; the image comes from the data.

    Attributes:
        device: a registered device.
        runtime: a registered runtime, which is what executes the model there.
        precision: number format, one the runtime offers.
        threads: threads of one forward pass.
        batch: images of one forward pass; None: as the data is served (``data.images_per_call``).
        command: for a device that Python cannot reach: what measures one model there.
        describe: for the same: a command that tells what the device is.
        timeout_s: one call of either may take this long, s.
    """

    device: str = "cpu"
    runtime: str = "onnxruntime"
    precision: str = "fp32"
    threads: int = 1
    batch: int | None = None
    command: str | None = None
    describe: str | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareProfile:
    """Device + runtime + precision + threads + batch + image: what one latency row belongs to.

    Attributes:
        name: what the user calls it. It is no part of ``key()``, two names for the same settings
            share their measurements, unless a command measures: then the name is the device.
        device: a registered device.
        runtime: a registered runtime.
        precision: number format.
        threads: threads of one forward pass.
        batch: images of one forward pass.
        image_size: (height, width) in pixels.
        channels: image channels.
        command: what measures one model, see ``HardwareConfig``. How a device is reached does
            not change how fast it is: no part of ``key()``, like the two below.
        describe: what tells about the device.
        timeout_s: one call of either may take this long, s.

    Raises:
        UserError: a number is not positive.
    """

    name: str
    device: str
    runtime: str
    precision: str
    threads: int
    batch: int
    image_size: tuple[int, int]
    channels: int
    command: str | None = None
    describe: str | None = None
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        numbers = {"threads": self.threads, "batch": self.batch, "channels": self.channels}
        for field, value in numbers.items():
            if not _positive(value):
                raise bad_value(f"hardware.{self.name}.{field}", value, "a positive integer")
        if len(self.image_size) != 2 or not all(map(_positive, self.image_size)):
            allowed = "(height, width) in pixels"
            raise bad_value(f"hardware.{self.name}.image_size", self.image_size, allowed)
        if not 0 < self.timeout_s < math.inf:
            raise bad_value(f"hardware.{self.name}.timeout_s", self.timeout_s, "a time above 0, s")

    @classmethod
    def of(
        cls,
        name: str,
        config: HardwareConfig,
        image_size: tuple[int, int],
        channels: int,
        images_per_call: int = 1,
    ) -> HardwareProfile:
        """The profile of a configured device for images of one size.

        ``images_per_call`` is the batch where the configuration leaves it open.
        """
        return cls(
            name=name,
            device=config.device,
            runtime=config.runtime,
            precision=config.precision,
            threads=config.threads,
            batch=images_per_call if config.batch is None else config.batch,
            image_size=image_size,
            channels=channels,
            command=config.command,
            describe=config.describe,
            timeout_s=config.timeout_s,
        )

    def key(self) -> str:
        """Names every setting that changes latency; usable as a file name."""
        height, width = self.image_size
        device = self.device
        if self.command is not None:  # all such devices are called ``command``
            device += "-" + re.sub(r"[^\w.-]", "_", self.name)
        return (
            f"{device}_{self.runtime}_{self.precision}_threads{self.threads}"
            f"_batch{self.batch}_{self.channels}x{height}x{width}"
        )

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(B, C, H, W) of one forward pass."""
        return (self.batch, self.channels, *self.image_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; how a device is reached only where a command reaches it."""
        values = asdict(self) | {"image_size": list(self.image_size)}
        reached = () if self.command is None else _REACHED
        return {k: v for k, v in values.items() if k in reached or k not in _REACHED}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HardwareProfile:
        """The inverse of ``to_dict``.

        Raises:
            UserError: a field is missing, unknown or out of its domain.
        """
        known = [field.name for field in fields(cls)]
        for name in data:
            if name not in known:
                raise unknown_name("hardware profile field", str(name), known)
        missing = [name for name in known if name not in data and name not in _REACHED]
        if missing:
            raise UserError(f"hardware profile: the field {missing[0]!r} is missing")
        values = dict(data)
        size = values["image_size"]
        if not isinstance(size, list | tuple):
            raise bad_value("hardware profile: image_size", size, "[height, width] in pixels")
        return cls(**values | {"image_size": tuple(size)})


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
