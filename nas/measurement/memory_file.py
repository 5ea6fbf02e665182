"""``profiles/memory.json``: measured peak memory beside the closed form, for each profile of a run.

``{"profiles": {KEY: {...}}}``, where an entry holds runtime, precision, batch, date, report and
rows, and may hold another ``beside`` it. Folders of before hold the one entry of their first
profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PROFILES = "profiles"
FP32 = "fp32"
Entry = Mapping[str, Any]


def memory_of(stored: Mapping[str, Any], key: str) -> Entry:
    """What the file holds for the profile ``key``; {} where it has nothing, or is damaged."""
    if PROFILES not in stored:
        return stored
    found = profiles_in(stored).get(key)
    return found if isinstance(found, Mapping) else {}


def profiles_in(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Entries by key of profile, as they are in the file."""
    found = stored.get(PROFILES)
    return found if isinstance(found, Mapping) else {}


def like(
    entries: Mapping[str, Entry], runtime: str, precision: str, batch: int
) -> Iterator[tuple[str, Entry]]:
    """Keys and entries of that runtime, precision and batch, which hold for any such profile."""
    wanted = (runtime, precision, batch)
    for key, entry in entries.items():
        found = (entry.get("runtime"), entry.get("precision", FP32), entry.get("batch"))
        if found == wanted:
            yield key, entry
