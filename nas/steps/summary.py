"""What a run says at its beginning and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.display import Display, duration
from nas.front import Front
from nas.report.commands import next_commands
from nas.run import Run
from nas.run_folder import RunFolder, read_json

SHOWN = 10
COMMANDS = {
    "run": ("the whole job", "formfinder run {folder}"),
    "profile": ("measure this machine", "formfinder profile {folder}"),
    "search": ("search with these weights", "formfinder search {folder}"),
}


def announce(run: Run, display: Display) -> None:
    """What is about to happen, on what, where."""
    data = run.dataset
    display.step(f"Formfinder: {run.folder.path}")
    display.line(
        f"data {data.name}: {len(data.train)} train, {len(data.val)} val, "
        f"{data.test_count} test images, {len(data.class_names)} classes"
    )
    display.line(
        f"space: {run.space.cardinality():.3g} architectures, {len(run.space.genes)} genes"
    )
    for choice, reason in run.space.membership.legal_nowhere().items():
        display.prose(f"no layer can take {choice}: {reason}")
    for op, reason in run.offered.spec.excluded.items():
        display.line(f"left out: {op} ({reason})")
    for skipped in data.skipped[:SHOWN]:
        display.line(f"skipped: {skipped}")


def say_next(run: Run, display: Display, commands: Sequence[str]) -> None:
    """The commands a user would want next."""
    display.step("Next")
    for name in commands:
        what, command = COMMANDS[name]
        display.line(f"{command.format(folder=run.folder.path):44} {what}")


def summarise(run: Run, best: Mapping[str, Any], target: Path, display: Display) -> None:
    """The front, the exported model, the seconds, the next three commands."""
    front = Front.load(run.folder.front)
    _front_table(front, best["digest"], display)
    _model(best, target, display)
    if target == run.folder.best:
        _seconds(run, display)
    _next(run, front, display)


def summarise_profiles(folder: RunFolder, parts: Sequence[RunFolder], display: Display) -> None:
    """The winners of a run for several profiles, one line each: no two share an axis."""
    rows = []
    for part in parts:
        front = Front.load(part.front)
        winner = front.member(front.winner)
        rows.append(
            (
                str(part.device),
                winner.digest,
                f"{winner.value('accuracy'):.3f}",
                f"{winner.value('latency_ms'):.3f}",
                _mb(winner.value("peak_memory_mb")),
                str(len(front.standing())),
            )
        )
    display.step(f"{len(parts)} profiles: {folder.report}")
    display.table("", ("profile", "winner", "val acc", "ms", "MB", "members"), rows)


def _front_table(front: Front, chosen: str, display: Display) -> None:
    members = front.standing()
    step = max(len(members) // SHOWN, 1)
    shown = [m for i, m in enumerate(members) if i % step == 0 or m.digest == chosen]
    rows = []
    for member in shown:
        accuracy, latency = member.metrics["accuracy"], member.metrics["latency_ms"]
        predicted = (latency.predicted or {}).get("value")
        rows.append(
            (
                f"{'→' if member.digest == chosen else ' '} {member.digest}",
                f"{accuracy.value:.3f}{'≈' if member.tied else ' '}",
                f"{latency.value:.3f}",
                latency.kind if predicted is None else f"{predicted:.3f}",
                _mb(member.value("peak_memory_mb")),
                f"{member.value('macs') / 1e6:.2f}",
            )
        )
    title = f"Verified front, {len(shown)} of {len(members)} members"
    columns = ("", "val acc", "ms", "predicted", "MB", "MMACs")
    display.console.print()
    display.table(title, columns, rows)
    display.line("≈ statistically tied with the most accurate (McNemar, 5 %)")


def _model(best: Mapping[str, Any], target: Path, display: Display) -> None:
    metrics = best["metrics"]
    test, latency = metrics["test_accuracy"], metrics["latency_ms"]
    display.step(f"{target}")
    display.line(
        f"test accuracy {test['value']:.4f} [{test['low']:.3f}, {test['high']:.3f}] "
        f"on {test['n']} images, val {metrics['val_accuracy']['value']:.4f}"
    )
    display.line(
        f"{latency['value']:.3f} ms {latency['kind']} ({best['profile']['runtime']}), "
        f"{_mb(metrics['peak_memory_mb']['value'])} MB peak, "
        f"{metrics['params']['value'] / 1e3:.1f} k parameters, "
        f"{metrics['macs']['value'] / 1e6:.2f} MMACs"
    )


def _mb(value: float) -> str:
    """Three decimals, and two digits of what would vanish in them: microcontrollers have KiB."""
    return f"{value:.3f}" if value >= 0.01 else f"{value:.2g}"


def _seconds(run: Run, display: Display) -> None:
    seconds = read_json(run.folder.seconds)
    parts = ", ".join(f"{step} {value:.0f} s" for step, value in seconds.items())
    display.line(f"{parts}: {duration(sum(seconds.values()))} in all")


def _next(run: Run, front: Front, display: Display) -> None:
    if run.folder.report.exists():
        display.step(f"Report: {run.folder.report}")
    display.step("Next")
    for command in next_commands(run.folder, front):
        display.line(f"# {command.why}")
        display.line(command.line)
