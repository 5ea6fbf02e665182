"""One line of a journal: read fast, and checked before anything is computed with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from nas.dashboard.reading.files import mapping, numbers
from nas.figures.text import cleaned
from nas.study.trials import FinishedTrial

_BEFORE, _BEHIND = b',"distributions":{', b',"params":{'


def parsed(line: bytes, *, keep: bool) -> dict[str, Any]:
    """A record; without its distributions unless ``keep``: they repeat and are most of it.

    The quotes of a name inside a text are escaped, so no text can be taken for the name.
    """
    if not keep:
        start = line.find(_BEFORE)
        end = line.find(_BEHIND, start) if start >= 0 else -1
        if end >= 0:
            try:
                record = json.loads(line[:start] + line[end:])
                if isinstance(record, dict):
                    return record
            except ValueError:
                pass
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("no record")
    return record


def checked(trial: FinishedTrial, objectives: int) -> FinishedTrial:
    """``trial`` as long as its fields are what they should be.

    Raises:
        ValueError: they are not.
    """
    texts = (trial.digest, trial.architecture_json, trial.source)
    if not all(isinstance(text, str) for text in texts) or len(trial.digest) > 64:
        raise ValueError("a field has the wrong kind")
    values = tuple(float(value) for value in trial.values)
    if len(values) not in (0, objectives) or (not values and trial.state == "complete"):
        raise ValueError("values do not fit the objectives")
    if not all(map(np.isfinite, values)):
        raise ValueError("values are no numbers")
    metrics, partial = numbers(trial.metrics), numbers(trial.partial)
    violations = numbers(trial.violations)
    images = trial.images if type(trial.images) is int else 0
    if (
        len(violations) == len(trial.violations)
        and len(metrics) == len(trial.metrics)
        and len(partial) == len(trial.partial)
        and images == trial.images
    ):
        return trial
    return replace(
        trial,
        values=values,
        metrics=metrics,
        partial=partial,
        violations=violations,
        images=images,
    )


def choices_of(record: Mapping[str, Any]) -> dict[str, list[str]]:
    """Labels of each gene's choices, from the record's distributions."""
    made = {}
    for name, text in list(mapping(record.get("distributions")).items())[:2000]:
        try:
            choices = json.loads(text)["attributes"]["choices"]
            made[str(name)] = [cleaned(choice, 60) for choice in choices[:200]]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return made


def seconds_of(date: object) -> float:
    """Seconds since 1970 of an ISO date, 0 where it is none."""
    try:
        return datetime.fromisoformat(str(date)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
