"""STM32F746, a microcontroller with a Cortex-M7, as its maker describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec

KIB = 1024


@DEVICES.register
class Stm32F746(DescribedDevice):
    """320 KiB of SRAM and 1 MiB of flash are limits of every search for it (MCUFormer, #71)."""

    name = "stm32f746"
    summary = "STM32F746 microcontroller, int8, 320 KiB SRAM, 1 MiB flash: estimated"
    precision = "int8"
    runtime = "mcu_overwrite"
    limits: ClassVar[Mapping[str, float]] = {"sram_kib": 320.0, "flash_kib": 1024.0}

    # SMLAD: two 16-bit multiply-adds a cycle at 216 MHz. CMSIS-NN keeps 249 of those 864 million
    # operations a second on a whole network (Lai, Suda and Chandra, 2018, table 1).
    # 0.1 W at the start of a pass and 0.34 W while computing: datasheet DS10916, table 25.
    spec = Spec(
        kind="mcu",
        model="STM32F746 (Cortex-M7, 216 MHz)",
        source="ST, datasheet DS10916",
        tflops={"int8": 0.000864},
        vector_tflops=0.000216,
        units=1,
        bandwidth_gb_s=0.86,
        cache_mb=0.004,
        cache_gb_s=1.7,
        memory_mb=320 * KIB / 1e6,
        flash_mb=1024 * KIB / 1e6,
        power_w=0.34,
        static_w=0.1,
        pj_per_byte=10.0,
        eager_us=5.0,
        compiled_us=5.0,
        sustained=0.29,
        attention=0.2,
    )
