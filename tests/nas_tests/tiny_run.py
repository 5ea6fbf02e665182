"""A whole run in seconds: its command line, and what tests ask of its folder."""

from __future__ import annotations

import json
from pathlib import Path

from nas.study.journal import CREATE_TRIAL

SPACE = (
    "space.stages=[{width: [8, 16], depth: [1, 2], heads: [1, 2], mlp_ratio: [1], "
    "attention: [softmax, {op: window, size: [2]}, none], "
    "reduction: [none, {op: tome, keep: [0.5]}]}]"
)
TRAINING = [SPACE, "training.epochs=2", "training.batch_size=128", "progress=false"]
BUDGET = [
    "executor=in_process",
    "profile.n_torch=0",
    "profile.n_runtime=10",
    "profile.accept_poor=true",
    "search.trials=16",
    "search.batch_size=8",
]


def command(folder: Path, *more: str) -> list[str]:
    """``formfinder run`` of the tiny run, into ``folder``."""
    place = [f"out_dir={folder.parent}", f"name={folder.name}"]
    return ["run", *TRAINING, *BUDGET, *place, *more]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; none where there is no folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def results(folder: Path) -> dict[str, bytes]:
    """The same without what every start writes anew: clocks, and the page made of the rest."""
    always = ("seconds.json", "report.html")
    return {name: data for name, data in contents(folder).items() if name not in always}


def lines(path: Path) -> list[dict]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def trials(folder: Path) -> int:
    """Trials in the study's journal."""
    return sum(record["op_code"] == CREATE_TRIAL for record in lines(folder / "study.journal"))
