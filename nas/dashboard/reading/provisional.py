"""The front of a search that nobody verified yet, in the same words as a verified one."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from nas.dashboard.reading.files import mapping
from nas.dashboard.reading.journal import TrialLog
from nas.front import Front, Member, Metric
from nas.study.trials import FinishedTrial, front_of
from search_spaces.architecture import Architecture

MAX_MEMBERS = 2000
SHARES = ("accuracy",)


def known_front(path: Path) -> Front:
    """``front.json``, cut to what can be drawn."""
    from dataclasses import replace

    front = Front.load(path)
    return replace(front, members=front.members[:MAX_MEMBERS], limits=mapping(front.limits))


def provisional_front(name: str, log: TrialLog) -> Front:
    """The non-dominated trials as members: no intervals, no trace, nothing measured again."""
    found = front_of(log.trials, log.directions)[:MAX_MEMBERS] if log.objectives else ()
    members = [member for trial in found if (member := member_of(trial))]
    return Front(
        run=name,
        created="",
        code_version="",
        data={},
        profile={"key": log.identity.get("profile")},
        weights=str(log.identity.get("weights", "")),
        objectives=log.objectives,
        limits=log.limits,
        members=tuple(members),
        winner="",
        winner_rule="",
        front_error={},
        counting_rule="",
    )


def member_of(trial: FinishedTrial) -> Member | None:
    """A trial as a member; None where its architecture cannot be read."""
    architecture = architecture_of(trial)
    if architecture is None:
        return None
    known = {**trial.partial, **trial.metrics}
    return Member(
        architecture=architecture,
        trial=trial.number,
        metrics={name: Metric(value=v, kind=_kind(name)) for name, v in known.items()},
        layers=(),
        tied=False,
        dominated=False,
    )


def architecture_of(trial: FinishedTrial) -> Architecture | None:
    """The trial's architecture, checked field by field; None where a field is wrong."""
    return _architecture(trial.architecture_json)


@lru_cache(maxsize=5000)
def _architecture(text: str) -> Architecture | None:
    try:
        return checked_architecture(_data(text))
    except Exception:  # from a file that anybody may have written
        return None


def checked_architecture(data: Any) -> Architecture:
    """An architecture whose fields have the right kinds.

    Raises:
        UserError: they have not.
    """
    from nas.export.best import read_architecture

    return read_architecture(data, Path("architecture"))


def _data(text: str) -> Any:
    import json

    if len(text) > 200_000:
        raise ValueError("too long for an architecture")
    return json.loads(text)


def _kind(name: str) -> str:
    if name in SHARES:
        return "measured"
    return "counted" if name in ("params", "macs") else "predicted"
