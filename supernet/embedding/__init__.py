"""Patch embeddings, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from supernet.operators import Embedding

EMBEDDINGS: Registry[Embedding] = Registry("embedding", "supernet.embedding")
