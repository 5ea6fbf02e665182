"""A device that Python cannot reach: a command line measures one model there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from nas.hardware.calling import CallError, call, split
from nas.hardware.device import DEVICES, Device
from nas.hardware.machine import Machine, now
from nas.hardware.profile import HardwareConfig, HardwareProfile
from search_spaces.errors import UserError, bad_value

_TEXTS = ("processor", "system", "governor")
_NUMBERS = ("cores", "memory_mb")


@DEVICES.register
class Command(Device):
    """A board behind ssh, a phone behind adb, a microcontroller behind a serial line.

    ``hardware.NAME.describe``, where it is given, prints a line of JSON with any of
    ``processor``, ``cores``, ``memory_mb``, ``system``, ``governor`` and ``versions``
    (package → version); it should tell apart what is of different speed.
    """

    name = "command"
    summary = "a device behind a command line: ssh, adb, a serial bridge"

    def default(self) -> HardwareConfig:
        return HardwareConfig(device="command", runtime="command")

    def unavailable(self) -> str | None:
        return None

    def machine(self, threads: int) -> Machine:
        return _machine({}, "a device behind a command", threads)

    def machine_for(self, profile: HardwareProfile) -> Machine:
        if profile.describe is None:
            return _machine({}, f"{profile.name}, behind: {profile.command}", profile.threads)
        field = f"hardware.{profile.name}.describe"
        found = _described(field, profile.describe, profile.timeout_s)
        return _machine(found, profile.name, profile.threads)

    def check(self, name: str, config: HardwareConfig | HardwareProfile) -> None:
        field = f"hardware.{name}.command"
        if config.command is None:
            allowed = "a command line that measures one model, e.g. 'ssh pi bench {model} {runs}'"
            raise bad_value(field, None, allowed)
        split(field, config.command)
        if config.describe is not None:
            split(f"hardware.{name}.describe", config.describe)


@cache  # asked at every start of a session, and the way there may be slow
def _described(field: str, command: str, timeout_s: float) -> Mapping[str, Any]:
    known = (*_TEXTS, *_NUMBERS, "versions")
    try:
        found = call(field, split(field, command), timeout_s, lambda a: bool({*known} & {*a}))
    except CallError as failure:
        raise UserError(f"{field}: {failure}; wanted is a line of JSON with {known}") from failure
    for name in _NUMBERS:
        if not isinstance(found.get(name, 0), int):
            raise bad_value(f"{field}: {name}", found[name], "an integer")
    if not isinstance(found.get("versions", {}), dict):
        raise bad_value(f"{field}: versions", found["versions"], "package → version")
    return found


def _machine(found: Mapping[str, Any], processor: str, threads: int) -> Machine:
    texts = {name: str(found.get(name, "unknown")) for name in _TEXTS}
    if "processor" not in found:
        texts["processor"] = processor
    return Machine(
        **texts,
        cores=found.get("cores", 0),
        memory_mb=found.get("memory_mb", 0),
        threads=threads,
        versions={str(k): str(v) for k, v in found.get("versions", {}).items()},
        date=now(),
    )
