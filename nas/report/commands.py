"""What a user would do next, as lines to copy."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from nas.figures.text import finite
from nas.front import Front, Member
from nas.run_folder import RunFolder

_PLAIN = re.compile(r"^[\w./-]+$")


@dataclass(frozen=True, slots=True)
class NextCommand:
    """A command and what it is good for."""

    why: str
    line: str


def next_commands(folder: RunFolder, front: Front) -> tuple[NextCommand, ...]:
    """Use the winner, choose another member, search for another device."""
    if any(member.origin for member in front.members):
        return _of_merged(front)
    run = shlex.quote(_relative(folder.path))
    code = f"import nas; print(nas.load_model({_relative(folder.best)!r}))"
    quoted = f'"{code}"' if _PLAIN.match(_relative(folder.best)) else shlex.quote(code)
    runtime = front.profile.get("runtime")
    other = "cpu_torch" if runtime != "torch_eager" else "cpu"
    again = NextCommand(
        "Search for another device with the same trained weights",
        f"formfinder search supernet={run} hardware={other}",
    )
    return (
        NextCommand("Use the winner from Python", f"python -c {quoted}"),
        NextCommand(
            "Choose another member of this front",
            f"formfinder pick {run} {_which(folder)}{_choice(front)}",
        ),
        *(() if folder.device else (again,)),
    )


def _of_merged(front: Front) -> tuple[NextCommand, ...]:
    """A merged front has no weights of its own: its members are exported from their runs."""
    member = next((m for m in front.members if m.digest == front.winner), None)
    if member is None or "path" not in member.origin:
        return ()
    run, device = str(member.origin["path"]), member.origin.get("device")
    which = f"hardware={device} " if device else ""
    line = f"formfinder pick {shlex.quote(run)} {which}member={member.digest}"
    return (NextCommand("Export the winner from the run that found it", line),)


def _which(folder: RunFolder) -> str:
    """Which search is meant, in a run for several profiles."""
    return "" if folder.device is None else f"hardware={folder.device} "


def _relative(path: Path) -> str:
    """As the user would type it; whole where it lies elsewhere."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _choice(front: Front) -> str:
    """A limit that leaves something to choose: halfway along the front's latencies."""

    def latency(member: Member) -> float | None:
        metric = member.metrics.get("latency_ms")
        return None if metric is None else finite(metric.value)

    known = sorted(value for m in front.standing() if (value := latency(m)) is not None)
    if len(known) < 2:
        return "by=accuracy"
    return f"constraints.latency_ms={known[len(known) // 2]:.2g}"
