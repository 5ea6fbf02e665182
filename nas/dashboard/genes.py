"""An architecture's genes, side by side with another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.dashboard.reading.provisional import checked_architecture
from nas.figures.text import cleaned
from nas.front import Member
from search_spaces.architecture import Architecture

MAX_ROWS = 300


def genes(architecture: Architecture) -> dict[str, str]:
    """Every gene as words, in the order of execution."""
    height, width = architecture.image_size
    made = {
        "image": f"{height} × {width} px, {architecture.channels} channels",
        "patch": f"{architecture.patch_size} px",
        "embedding": str(architecture.embedding),
        "position": str(architecture.position),
        "special tokens": str(architecture.special_tokens),
        "pooling": architecture.pooling,
    }
    several = len(architecture.stages) > 1
    place = 0
    for number, stage in enumerate(architecture.stages, start=1):
        of = f"stage {number} " if several else ""
        made[f"{of}width"] = str(stage.width)
        made[f"{of}depth"] = str(len(stage.blocks))
        if several:
            made[f"{of}transition"] = str(stage.transition)
        for block in stage.blocks:
            place += 1
            made[f"block {place} attention"] = str(block.attention)
            made[f"block {place} heads"] = f"{block.heads} × {block.head_dim}"
            ratio = block.mlp_hidden / (stage.width or 1)
            made[f"block {place} MLP"] = f"{block.mlp_hidden} (× {ratio:.3g})"
            made[f"block {place} reduction"] = str(block.reduction)
            if place * 4 > MAX_ROWS:
                return made
    return made


def difference(one: Architecture, other: Architecture) -> list[tuple[str, str, str]]:
    """(gene, value here, value there) of the genes that differ, "–" where there is none."""
    here, there = genes(one), genes(other)
    names = [*here, *(name for name in there if name not in here)]
    rows = [(name, here.get(name, "–"), there.get(name, "–")) for name in names]
    return [(n, cleaned(a, 60), cleaned(b, 60)) for n, a, b in rows if a != b]


def nearest(
    architecture: Architecture,
    baselines: Sequence[Mapping[str, Any]],
    members: Sequence[Member],
    winner: str,
) -> tuple[str, Architecture] | None:
    """What to compare with where nothing is pinned: the baseline with the fewest different genes,
    the winner where there is no baseline.
    """
    found: list[tuple[int, str, Architecture]] = []
    for row in baselines:
        try:
            other = checked_architecture(row["architecture"])
        except Exception:  # a baseline without an architecture, or a damaged one
            continue
        name = cleaned(row.get("name", "baseline"), 60)
        if other != architecture:
            found.append((len(difference(architecture, other)), name, other))
    if found:
        _, name, other = min(found, key=lambda entry: entry[0])
        return name, other
    for member in members:
        if member.digest == winner and member.architecture != architecture:
            return f"the winner {member.digest[:8]}", member.architecture
    return None
