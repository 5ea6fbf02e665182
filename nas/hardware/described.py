"""Devices that are not at hand: a spec sheet instead of measurements."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from nas.hardware.device import DEVICES, Device
from nas.hardware.machine import Machine, now
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.roofline.setting import Setting
from nas.roofline.spec import Spec
from search_spaces.errors import UserError, bad_value, unknown_name

EAGER, COMPILED, MCU_PREFIX = "roofline", "roofline_compiled", "mcu_"


class DescribedDevice(Device):
    """A device in figures; its latencies are estimates by the roofline model, never measured.

    Attributes:
        spec: the figures.
        precision: of the default profile.
        runtime: of the default profile.
        limits: what no network may exceed there, by metric: limits of every search.
    """

    spec: ClassVar[Spec]
    precision: ClassVar[str] = "fp16"
    runtime: ClassVar[str] = EAGER
    limits: ClassVar[Mapping[str, float]] = MappingProxyType({})

    def default(self) -> HardwareConfig:
        return HardwareConfig(
            device=self.name,
            runtime=self.runtime,
            precision=self.precision,
            threads=1 if self.spec.kind == "gpu" else self.spec.units,
            batch=1 if self.spec.kind == "mcu" else None,
        )

    def unavailable(self) -> str | None:
        return None

    def machine(self, threads: int) -> Machine:
        return Machine(
            processor=f"{self.spec.model} (estimated from its spec sheet)",
            cores=self.spec.units,
            memory_mb=int(self.spec.memory_mb),
            system="described",
            governor="unknown",
            threads=threads,
            versions={},
            date=now(),
        )

    def check(self, name: str, config: HardwareConfig | HardwareProfile) -> None:
        if config.precision not in self.spec.precisions:
            allowed = f"{' or '.join(self.spec.precisions)} on {self.name}"
            raise bad_value(f"hardware.{name}.precision", config.precision, allowed)
        if self.spec.kind == "mcu" and config.batch not in (None, 1):
            raise bad_value(f"hardware.{name}.batch", config.batch, "1 on a microcontroller")

    def setting(self, profile: HardwareConfig | HardwareProfile) -> Setting:
        """How a profile runs networks."""
        schedule = profile.runtime.removeprefix(MCU_PREFIX)
        return Setting(
            spec=self.spec,
            precision=profile.precision,
            batch=profile.batch or 1,
            compiled=profile.runtime == COMPILED,
            threads=None if self.spec.kind == "gpu" else profile.threads,
            schedule=schedule if profile.runtime.startswith(MCU_PREFIX) else "overwrite",
        )


def as_described(profile: HardwareProfile) -> DescribedDevice | None:
    """The described device of a profile; None if its device is measured."""
    device = DEVICES[profile.device]
    return device if isinstance(device, DescribedDevice) else None


def described(name: str) -> DescribedDevice:
    """The described device of a name.

    Raises:
        UserError: there is none; lists those there are, and the nearest.
    """
    known = {device.name: device for device in DEVICES if isinstance(device, DescribedDevice)}
    if name in known:
        return known[name]
    if name in DEVICES:
        raise UserError(
            f"device {name!r} is measured, not described: formfinder profile hardware={name}; "
            f"described are {', '.join(known)}"
        )
    raise unknown_name("device", name, known)
