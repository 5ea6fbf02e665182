"""Images: where they come from, how they are split, augmented and prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from nas.data.source import DataSource

SOURCES: Registry[DataSource] = Registry("data", "nas.data")
"""Sources of images by name; a new one is one file in this folder."""
