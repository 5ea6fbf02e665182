"""The version that stands beside every number."""

from __future__ import annotations

import importlib.metadata


def code_version() -> str:
    """Formfinder's version."""
    return importlib.metadata.version("formfinder")
