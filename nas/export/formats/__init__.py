"""Formats of an exported model, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from nas.export.format import Format

FORMATS: Registry[Format] = Registry("format", "nas.export.formats")
