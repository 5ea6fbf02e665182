"""This computer's processor."""

from __future__ import annotations

from nas.hardware.device import DEVICES, Device
from nas.hardware.machine import Machine, this_machine
from nas.hardware.profile import HardwareConfig


@DEVICES.register
class Cpu(Device):
    """The processor that runs this process.

    ONNX Runtime on one thread by default: it is what small models are deployed with, and one
    thread repeats best on a machine that does other things too.
    """

    name = "cpu"
    summary = "this computer's processor"

    def default(self) -> HardwareConfig:
        return HardwareConfig(device="cpu", runtime="onnxruntime", precision="fp32")

    def unavailable(self) -> str | None:
        return None

    def machine(self, threads: int) -> Machine:
        return this_machine(threads)
