"""How many evaluations a search strategy needs for a front.

    uv run --with pymoo python benchmarks/sample_efficiency.py live RUN
    uv run --with pymoo python benchmarks/sample_efficiency.py enumerated RUN
    uv run --with pymoo python benchmarks/sample_efficiency.py surrogate CIFAR_RUN

RUN is a run folder with a trained supernet and a measured profile (`formfinder run`), CIFAR_RUN one
on CIFAR-10. An evaluation is a distinct architecture whose accuracy was computed; repeats cost
nobody anything. Objectives: accuracy, latency_ms, peak_memory_mb; the hypervolume's box goes from
0 to 1 in accuracy and between the space's ends in the others. Ours runs in batches, the rivals
evaluate one after the other where they can. Printed are means over seeds and, beside ours, paired
differences with 95 % intervals (Student's t).
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from landscapes import Inherited, Landscape, enumerated, live, surrogate
from rivals import run_optuna, run_pymoo, run_registered
from scipy import stats

from nas.runtimes.base import FloatArray
from nas.steps.batches import proposed_at_once
from nas.study import Prefilter

LANDSCAPES = {"live": live, "enumerated": enumerated, "surrogate": surrogate}
OURS, BASE = "guided", "Optuna NSGA-II"
SHORT, LONG = 200, 1000
SHOWN = (50, 100, 150, 200, 1000)
Run = Callable[[Landscape, int], FloatArray]


def _optuna(make: Callable[[int], optuna.samplers.BaseSampler], evaluations: int) -> Run:
    return lambda landscape, seed: run_optuna(make(seed), landscape, evaluations)


def _ours(name: str, prefilter: Prefilter | None = None, **options: Any) -> Run:
    return lambda landscape, seed: run_registered(name, options, landscape, seed, SHORT, prefilter)


STRATEGIES: dict[str, Run] = {
    OURS: _ours(OURS),
    BASE: _optuna(lambda seed: optuna.samplers.NSGAIISampler(seed=seed), LONG),
    "Optuna TPE": _optuna(lambda seed: optuna.samplers.TPESampler(seed=seed), SHORT),
    "random": _optuna(lambda seed: optuna.samplers.RandomSampler(seed=seed), SHORT),
    "AutoFormer's evolution": _ours("autoformer"),
    "pymoo NSGA-II": lambda landscape, seed: run_pymoo(landscape, seed, LONG),
    "nsga2 (ours)": _ours("nsga2"),
}
WITH_PROXIES: dict[str, Run] = {
    "guided, half by params": _ours(OURS, Prefilter("params")),
    "guided, half by log-synflow": _ours(OURS, Prefilter("log_synflow")),
    "guided, log-synflow as feature": _ours(OURS, features=["log_synflow"]),
    "nsga2, half by params": _ours("nsga2", Prefilter("params")),
    "nsga2, half by log-synflow": _ours("nsga2", Prefilter("log_synflow")),
    "random, half by params": _ours("random", Prefilter("params")),
    "random, half by log-synflow": _ours("random", Prefilter("log_synflow")),
}
"""Run where they are named with ``--only``."""


def main() -> None:
    """Run everything that is not there yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("landscape", choices=LANDSCAPES)
    parser.add_argument("run", type=Path, help="run folder with weights and profile")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--batch", type=int, help="proposals of ours at once; default: as a run's")
    parser.add_argument("--out", type=Path, default=Path("sample_efficiency"))
    parser.add_argument("--only", nargs="*", help="strategies; default: all")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    inherited = Inherited(options.run, options.out / f"{options.run.name}.evaluations.jsonl")
    at_once = options.batch or proposed_at_once(inherited.run)
    landscape = LANDSCAPES[options.landscape](inherited, at_once)
    path = options.out / f"{options.landscape}.json"
    curves = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(options.seeds):
        for name, run in {**STRATEGIES, **WITH_PROXIES}.items():
            done = curves.setdefault(name, {})
            if str(seed) not in done and name in (options.only or STRATEGIES):
                done[str(seed)] = run(landscape, seed).tolist()
                print(f"{name}, seed {seed}: {done[str(seed)][-1]:.5f}", flush=True)
                path.write_text(json.dumps(curves))
    if not curves.get(OURS):
        return
    show(landscape, {n: c for n, c in curves.items() if c})
    draw(landscape, curves, options.out / f"{options.landscape}.html")


def show(landscape: Landscape, curves: dict[str, dict[str, list[float]]]) -> None:
    """The table."""
    print(f"\n{landscape.name}: {landscape.question.space.cardinality():.3g} architectures")
    if landscape.best is not None:
        print(f"hypervolume of the true front: {landscape.best:.5f}")
    print(f"{'evaluations':26}" + "".join(f"{n:10,}" for n in SHOWN))
    for name, by_seed in curves.items():
        cells = []
        for n in SHOWN:
            reached = [c[n - 1] for c in by_seed.values() if len(c) >= n]
            cells.append(f"{np.mean(reached):10.5f}" if reached else f"{'':>10}")
        print(f"{name:26}" + "".join(cells))
    print(f"\n{OURS} at {SHORT} minus ...{'':12}mean    95 % interval     seeds")
    for name, by_seed in curves.items():
        for n in (SHORT, LONG) if name in (BASE, "pymoo NSGA-II") else (SHORT,):
            if name != OURS:
                _compare(f"{name} at {n}", curves[OURS], by_seed, n)
    _first_reached(curves)


def _compare(
    label: str, ours: dict[str, list[float]], theirs: dict[str, list[float]], n: int
) -> None:
    """Paired by seed. A strategy that ran out of new architectures keeps its last value."""
    seeds = [seed for seed in ours if seed in theirs]
    gaps = np.array([ours[s][SHORT - 1] - theirs[s][min(n, len(theirs[s])) - 1] for s in seeds])
    half = 0.0
    if len(gaps) > 1:
        half = float(stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
    mean = gaps.mean()
    print(f"  {label:34}{mean:+9.5f}  {mean - half:+.5f} {mean + half:+.5f}  {len(gaps):5}")


def _first_reached(curves: dict[str, dict[str, list[float]]]) -> None:
    if BASE not in curves:
        return
    goal = np.mean([c[min(LONG, len(c)) - 1] for c in curves[BASE].values()])
    mean = np.mean(list(curves[OURS].values()), axis=0)
    reached = np.flatnonzero(mean >= goal)
    when = f"after {reached[0] + 1} evaluations" if len(reached) else f"not within {SHORT}"
    print(f"\n{OURS} reaches what {BASE} has at {LONG:,} ({goal:.5f}) {when} (mean curves)")


def draw(landscape: Landscape, curves: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Mean curves with the seeds' range, as a page."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, by_seed in curves.items():
        if not by_seed:
            continue
        length = min(map(len, by_seed.values()))
        table = np.array([curve[:length] for curve in by_seed.values()])
        x = np.arange(1, length + 1)
        figure.add_scatter(x=x, y=table.mean(axis=0), name=name, mode="lines")
    figure.update_layout(
        title=landscape.name,
        xaxis={"title": "evaluations", "type": "log"},
        yaxis={"title": "hypervolume"},
        template="simple_white",
    )
    figure.write_html(path)


if __name__ == "__main__":
    main()
