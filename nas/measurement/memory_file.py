"""``profiles/memory.json``: measured peak memory beside the closed form, for each profile of a run.

``{"profiles": {KEY: {...}}}``, where an entry holds runtime, precision, batch, date, report and
rows, and may hold another ``beside`` it. Where a form was fitted to the rows it holds that as
``form``, and its rows are predicted by forms that have not seen them. Folders of before hold the
one entry of their first profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError

if TYPE_CHECKING:
    from supernet.costs import Liveness

PROFILES = "profiles"
FORM = "form"
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


def fitted_in(path: Path, key: str) -> Liveness | None:
    """The form that was fitted to a profile's measurements; None where none was.

    Raises:
        UserError: the file is damaged.
    """
    from nas.measurement.fitted_liveness import FittedLiveness, MemoryForm
    from nas.run_folder import read_json

    if not path.exists():
        return None
    entry = memory_of(read_json(path), key)
    if FORM not in entry:
        return None
    try:
        form = MemoryForm.from_dict(entry[FORM])
    except ValueError as error:
        raise UserError(
            f"{path}: {PROFILES}.{key}.{FORM}: {error}; delete the file to measure again"
        ) from None
    return FittedLiveness.of(str(entry["runtime"]), form)
