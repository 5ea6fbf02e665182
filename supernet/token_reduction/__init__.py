"""Token reductions, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from supernet.operators import Reduction

REDUCTIONS: Registry[Reduction] = Registry("token_reduction", "supernet.token_reduction")
