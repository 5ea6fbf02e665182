"""What a device's file provides, and where devices are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from nas.hardware.machine import Machine
from nas.hardware.profile import HardwareConfig, HardwareProfile
from search_spaces.errors import UserError, bad_value
from search_spaces.registry import Registry


class Device(ABC):
    """A place where a model runs. Its file registers it together with its default profile.

    Attributes:
        name: what it is called on the command line (``hardware=NAME``).
        summary: one line for ``formfinder list hardware``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def default(self) -> HardwareConfig:
        """The settings used when only the device is named."""

    @abstractmethod
    def unavailable(self) -> str | None:
        """Why the device cannot be used from here, or None if it can."""

    @abstractmethod
    def machine(self, threads: int) -> Machine:
        """What the device is, as it is recorded beside every measurement."""


DEVICES: Registry[Device] = Registry("hardware", "nas.hardware")


def check_profile(profile: HardwareProfile) -> None:
    """Refuse a profile that cannot be measured from here.

    Raises:
        UserError: the device or the runtime is unknown or absent, or the runtime does not offer
            the device or the precision.
    """
    from nas.runtimes.base import RUNTIMES  # runtimes know profiles, so not at the top

    device, runtime = DEVICES[profile.device], RUNTIMES[profile.runtime]
    reason = device.unavailable() or runtime.unavailable()
    if reason:
        raise UserError(f"hardware={profile.name!r}: {reason}")
    if profile.device not in runtime.devices:
        field = f"hardware.{profile.name}.device"
        raise bad_value(field, profile.device, f"{_listed(runtime.devices)} with {runtime.name}")
    if profile.precision not in runtime.precisions:
        field = f"hardware.{profile.name}.precision"
        allowed = f"{_listed(runtime.precisions)} with {runtime.name}"
        raise bad_value(field, profile.precision, allowed)


def _listed(names: tuple[str, ...]) -> str:
    return " or ".join(names)
