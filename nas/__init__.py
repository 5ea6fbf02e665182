"""Search, and what follows from it: profiles, studies, fronts, exports.

``nas.load_model("runs/…/best.json")`` and ``nas.load_transform`` give back what a run found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.export.best import load_model, load_transform

__all__ = ["load_model", "load_transform"]


def __getattr__(name: str) -> Any:
    # Imported when first used: the command line must answer --help before torch is loaded.
    if name in __all__:
        from nas.export import best

        return getattr(best, name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
