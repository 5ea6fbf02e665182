"""Peak SRAM of one int8 pass on a microcontroller; see ``nas/roofline/schedule.py``."""

from nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.add(
    Objective(
        name="sram_kib",
        label="SRAM",
        unit="KiB",
        direction="min",
        cost="free",
    )
)
