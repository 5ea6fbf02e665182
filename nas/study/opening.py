"""Opening a journal for this study: its header, or why it belongs to another one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nas.study.journal import (
    CREATE_STUDY,
    CREATE_TRIAL,
    HEADER_LENGTH,
    Journal,
    Record,
    header,
    meta_of,
)
from nas.study.problem import SearchProblem, StudySpec
from search_spaces.errors import UserError

FORMAT = 1


def begin(journal: Journal, problem: SearchProblem, spec: StudySpec) -> None:
    """Write the header of a new journal, or check the one that is there.

    Raises:
        UserError: the journal is of another study; lists what differs.
    """
    meta = _meta(problem, spec)
    name = f"formfinder-{problem.space_digest}"
    metrics = [objective.name for objective in spec.objectives]
    wanted = header(name, spec.directions, metrics, meta)
    found = journal.records
    studies = [record for record in found if record["op_code"] == CREATE_STUDY]
    if len(studies) > 1 or (studies and studies[0] != found[0]):
        raise UserError(f"{journal.path}: holds several studies; name another file")
    known = meta_of(found)
    if known is not None:
        _refuse_other(journal, known["identity"], meta["identity"])
    elif len(found) > 1 or (found and found[0].get("study_name") != name):
        raise UserError(f"{journal.path}: was not written by formfinder; name another file")
    # Fewer records than the header has: a kill came between them.
    journal.append(wanted[len(found) :])


def split(records: list[Record], batch_size: int) -> tuple[list[Record], list[Record]]:
    """(records up to the last complete batch, those of the open one).

    What stands between the last trial of a batch and the first of the next was written by asking
    the next, and asking it again will make it again.
    """
    trials = [i for i, record in enumerate(records) if record["op_code"] == CREATE_TRIAL]
    complete = len(trials) // batch_size * batch_size
    end = trials[complete - 1] + 1 if complete else HEADER_LENGTH
    return records[:end], records[end:]


def _meta(problem: SearchProblem, spec: StudySpec) -> dict[str, Any]:
    fields = ("name", "label", "unit", "direction")
    made = {
        "format": FORMAT,
        "identity": {"space": problem.space_digest, **problem.identity, **spec.identity()},
        "objectives": [{f: getattr(o, f) for f in fields} for o in spec.objectives],
        "box": None if spec.box is None else [list(spec.box.ideal), list(spec.box.worst)],
    }
    plain: dict[str, Any] = json.loads(json.dumps(made))  # as it will be read: tuples are lists
    return plain


def _refuse_other(journal: Journal, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    keys = [*old, *(key for key in new if key not in old)]
    lines = [
        f"{key}: {_shown(old.get(key))} → {_shown(new.get(key))}"
        for key in keys
        if old.get(key) != new.get(key)
    ]
    if lines:
        listed = "; ".join(lines)
        raise UserError(f"{journal.path}: is another study ({listed}); choose another name")


def _shown(value: Any) -> str:
    if value is None:
        return "(not set)"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
