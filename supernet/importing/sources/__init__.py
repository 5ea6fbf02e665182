"""Where weights come from, one file each; `init=NAME:WHERE` names one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from supernet.importing.imported import WeightsReader

WEIGHTS: Registry[WeightsReader] = Registry("weights", "supernet.importing.sources")
