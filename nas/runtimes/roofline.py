"""How networks would be run on devices that are only described: nothing runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.hardware.described import COMPILED, EAGER, MCU_PREFIX, DescribedDevice
from nas.hardware.device import DEVICES
from nas.hardware.profile import HardwareProfile
from nas.roofline.schedule import SCHEDULES
from nas.roofline.spec import BYTES
from nas.runtimes.base import RUNTIMES, Prepared, Runtime, UnsupportedModelError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Described(Runtime):
    """Stands in a profile for the way of running that is estimated."""

    needs_onnx = False
    unsupported_ops = frozenset()

    def __init__(self, name: str, summary: str, mcu: bool) -> None:
        known = [device for device in DEVICES if isinstance(device, DescribedDevice)]
        self.name = name  # type: ignore[misc]
        self.summary = summary  # type: ignore[misc]
        self.devices = tuple(  # type: ignore[misc]
            device.name for device in known if (device.spec.kind == "mcu") == mcu
        )
        self.adaptive = name == EAGER  # type: ignore[misc]
        self.precisions = ("int8",) if mcu else tuple(BYTES)  # type: ignore[misc]

    def unavailable(self) -> str | None:
        return None

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        raise UnsupportedModelError(f"{profile.device} is described, not at hand: nothing runs")


RUNTIMES.add(Described(EAGER, "operator by operator: estimated, never run", mcu=False))
RUNTIMES.add(Described(COMPILED, "element-wise work fused: estimated, never run", mcu=False))
for _schedule in SCHEDULES:
    RUNTIMES.add(
        Described(f"{MCU_PREFIX}{_schedule}", f"int8, buffers {_schedule}: estimated", mcu=True)
    )
