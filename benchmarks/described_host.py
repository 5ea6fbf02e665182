"""Estimates for this computer's processor beside what `measured_models.py` measured on it.

    uv run python benchmarks/described_host.py

One core of an EPYC (Zen 3), fp32, some 70 of timm's vision transformers, eager and compiled. The
constants of processors come from single operators timed on that core: none was fitted to a row, but
all residuals were seen. Families are halved by a hash of their names, and both halves are printed.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from described_devices import agreement, workload_of

from nas.hardware.host import host_spec
from nas.roofline.estimating import estimate_work
from nas.roofline.setting import Setting

TABLES = Path(__file__).parent / "tables"
Row = dict[str, str]


def rows_of(path: Path, runtime: str) -> list[Row]:
    """A table's rows of one runtime."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if row["runtime"] == runtime]


def half_of(model: str) -> int:
    """0 or 1 by the name of the family: what stands before the first digit or underscore."""
    family = re.split(r"[_\d]", model)[0]
    return hashlib.md5(family.encode()).digest()[0] % 2


def throughput(row: Row) -> float:
    """Images a second, estimated."""
    setting = Setting(
        spec=host_spec(),
        precision="fp32",
        batch=int(row["batch"]),
        compiled=row["runtime"] == "compiled",
        threads=1,
    )
    work = workload_of(f"{row['model']}@{row['side']}")
    return estimate_work(work, "cpu", setting).throughput


def line(name: str, rows: Sequence[Row]) -> str:
    """Agreement of some rows, and that of MACs alone."""
    true = [int(row["batch"]) / float(row["ms"]) * 1e3 for row in rows]
    tau, mape, scale = agreement([throughput(row) for row in rows], true)
    macs = [1 / workload_of(f"{row['model']}@{row['side']}").macs for row in rows]
    tau_m, mape_m, _ = agreement(macs, true)
    left = f"{name:<24} {len(rows):>3} {tau:>6.3f} {mape:>6.1%} {scale:>6.2f}"
    return f"{left} {tau_m:>11.3f} {mape_m:>6.1%}"


def main() -> None:
    """Print a line for each runtime, whole and by halves."""
    print(f"{'table':<24} {'n':>3} {'tau':>6} {'MAPE':>6} {'scale':>6}   MACs: tau   MAPE")
    for path in sorted(TABLES.glob("*.csv"), reverse=True):
        runtime = path.stem.rpartition("_")[2]
        rows = rows_of(path, runtime)
        halves = [[row for row in rows if half_of(row["model"]) == half] for half in (0, 1)]
        for name, part in (("", rows), (", half 1", halves[0]), (", half 2", halves[1])):
            print(line(runtime + name, part))


if __name__ == "__main__":
    main()
