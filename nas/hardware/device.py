"""What a device's file provides, and where devices are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from nas.hardware.machine import Machine
from nas.hardware.profile import HardwareConfig, HardwareProfile
from search_spaces.errors import UserError, bad_value, nearest
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

    def machine_for(self, profile: HardwareProfile) -> Machine:
        """The same for devices that only the profile tells how to reach."""
        return self.machine(profile.threads)

    def check(self, name: str, config: HardwareConfig | HardwareProfile) -> None:  # noqa: B027
        """Refuse settings that the device cannot have, before anything is begun.

        Raises:
            UserError: names the field ``hardware.NAME.FIELD``.
        """


DEVICES: Registry[Device] = Registry("hardware", "nas.hardware")


def check_settings(name: str, config: HardwareConfig | HardwareProfile) -> None:
    """Refuse what no machine could measure, whether or not the device is there.

    Raises:
        UserError: the device or the runtime is unknown, or the runtime does not offer the device
            or the precision.
    """
    from nas.runtimes.base import RUNTIMES  # runtimes know profiles, so not at the top

    device, runtime = DEVICES[config.device], RUNTIMES[config.runtime]
    offered = {"device": runtime.devices, "precision": runtime.precisions}
    for field, names in offered.items():
        value = getattr(config, field)
        if value not in names:
            close = nearest(value, names)
            hint = f"; did you mean {close!r}?" if close else ""
            allowed = f"{' or '.join(names)} with {runtime.name}{hint}"
            raise bad_value(f"hardware.{name}.{field}", value, allowed)
    device.check(name, config)


def check_present(name: str, config: HardwareConfig | HardwareProfile) -> None:
    """Refuse a device or a runtime that is not there.

    Raises:
        UserError: says what is missing.
    """
    from nas.runtimes.base import RUNTIMES

    reason = DEVICES[config.device].unavailable() or RUNTIMES[config.runtime].unavailable()
    if reason:
        raise UserError(f"hardware={name!r}: {reason}")


def check_profile(profile: HardwareProfile) -> None:
    """Refuse a profile that cannot be measured from here.

    Raises:
        UserError: as ``check_settings`` and ``check_present``.
    """
    check_settings(profile.name, profile)
    check_present(profile.name, profile)
