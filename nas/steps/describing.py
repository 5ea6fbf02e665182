"""``formfinder describe``: an architecture, an exported model or a run, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.display import Display
from nas.export.best import check_best, read_architecture
from nas.front import Front
from nas.run_folder import RunFolder, read_json
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from search_spaces.workload import COUNTING_RULE
from supernet.ragged import is_ragged
from supernet.token_reduction import REDUCTIONS
from supernet.workload import workload

DEFAULT_CLASSES = 1000


def describe_path(path: Path, display: Display, member: str | None = None) -> None:
    """Print what a file or a run folder holds.

    Args:
        path: an architecture's JSON, a ``best.json``, a ``front.json`` or a run folder.
        display: where to.
        member: the member of the front that is meant: its digest, or how that begins.

    Raises:
        UserError: it is none of these, or damaged, or has no such member.
    """
    if path.is_dir():
        parts = RunFolder.at(path).parts()
        if len(parts) > 1 and member is None:
            for part in parts:
                _front(Front.load(part.front), display)
            return
        path = file_of_run(parts, member)
    data = read_json(path)
    if "members" in data and member is not None:
        _member(Front.load(path), member, display)
    elif member is not None:
        raise UserError(f"{path}: member={member!r}: only a run or a front.json has members")
    elif "members" in data:
        _front(Front.load(path), display)
    elif "architecture" in data:
        check_best(data, path)
        architecture = Architecture.from_dict(data["architecture"])
        _layers(architecture, len(data["task"]["classes"]), display)
        _metrics(data["metrics"], display)
    else:
        _layers(read_architecture(data, path), DEFAULT_CLASSES, display)


def file_of_run(parts: Sequence[RunFolder], member: str | None) -> Path:
    """The file of a run that is meant: its winner, or the front that has a member."""
    run = parts[0].path
    if member is None:
        path = parts[0].best if parts[0].best.exists() else parts[0].front
        if not path.exists():
            raise UserError(f"{run}: no best.json or front.json; is it a finished run?")
        return path
    fronts = [part.front for part in parts if part.front.exists()]
    if not fronts:
        raise UserError(f"{run}: no front.json; is it a finished run?")
    having = [p for p in fronts if any(m.digest.startswith(member) for m in Front.load(p).members)]
    return (having or fronts)[0]


def _member(front: Front, start: str, display: Display) -> None:
    """One member, as its trace tells it."""
    member = front.find(start)
    _layers(member.architecture, len(front.data["classes"]), display)
    _metrics({name: metric.to_dict() for name, metric in member.metrics.items()}, display)
    marks = [
        word
        for word, holds in (
            ("the winner", member.digest == front.winner),
            ("tied with the most accurate", member.tied),
            ("dominated after measuring", member.dominated),
        )
        if holds
    ]
    display.line(f"of {front.run}, {front.profile['key']}{': ' if marks else ''}{', '.join(marks)}")
    if member.origin:
        display.line(", ".join(f"{name} {value}" for name, value in member.origin.items()))


def _layers(architecture: Architecture, num_classes: int, display: Display) -> None:
    work = workload(architecture, num_classes)
    height, width = architecture.image_size
    display.step(f"Architecture {architecture.digest()}")
    layers = f"{architecture.depth} layer{'s' * (architecture.depth != 1)}"
    display.line(
        f"images {height}×{width}×{architecture.channels}, patch {architecture.patch_size}, "
        f"{layers}, {num_classes} classes"
    )
    rows = [
        (
            layer.name.replace("stages.", "").replace("blocks.", ""),
            layer.op,
            f"{layer.tokens_in} → {layer.tokens_out}"
            if layer.tokens_in != layer.tokens_out
            else str(layer.tokens_out),
            f"{layer.params:,}",
            f"{layer.macs:,}",
            f"{layer.macs / max(work.macs, 1):.0%}",
        )
        for layer in work.layers
    ]
    rows.append(("total", "", "", f"{work.params:,}", f"{work.macs:,}", ""))
    display.table("", ("layer", "operator", "tokens", "params", "MACs", "share"), rows)
    display.line(
        f"fp32 at batch 1: {work.peak_memory_mb():.3f} MB peak (closed form), of which "
        f"{work.peak_activation_mb():.3f} MB activations"
    )
    say_where_tokens_vary(architecture, display)
    display.prose(COUNTING_RULE)


def say_where_tokens_vary(architecture: Architecture, display: Display) -> None:
    """Whose tokens and costs are shown, where they depend on the image."""
    if is_ragged(architecture):
        settings = (block.reduction for _, block in architecture.blocks())
        varying = next(s for s in settings if REDUCTIONS[s.op].card.varies)
        display.prose(
            f"Behind {varying} the tokens depend on the image; shown is one that keeps the most."
        )


def _metrics(metrics: dict[str, Any], display: Display) -> None:
    rows = []
    for name, metric in metrics.items():
        span = f"[{metric['low']:.4g}, {metric['high']:.4g}]" if "low" in metric else ""
        count = f"n={metric['n']}" if "n" in metric else ""
        rows.append((name, f"{metric['value']:.6g}", span, metric["kind"], count))
    display.table("", ("metric", "value", "interval", "kind", ""), rows)


def _front(front: Front, display: Display) -> None:
    rows = [
        (
            f"{'→' if member.digest == front.winner else ' '} {member.digest}",
            f"{member.value('accuracy'):.4f}",
            f"{member.value('latency_ms'):.3f}",
            f"{member.value('peak_memory_mb'):.3f}",
            f"{member.value('params'):,.0f}",
            "dominated" if member.dominated else "",
        )
        for member in front.members
    ]
    display.step(f"Front of {front.run}: {front.profile['key']}")
    display.table("", ("", "val acc", "ms", "MB", "params", ""), rows)
