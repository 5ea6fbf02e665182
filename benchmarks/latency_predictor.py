"""Latency predictors on networks they have not seen, beside measuring those a second time.

    uv run python benchmarks/latency_predictor.py FOLDER [--spaces colour32 ...] [--runtimes ...]
        [--precisions fp32 int8 int8_static] [--seed 0] [--splits 50] [--fronts RUN ...]

For each space, runtime and precision: at most ``--subnets`` networks are measured and learned from;
the ``--held-out`` others, drawn at random too, are measured twice. The table tells how well the
predictor and the second measurement tell the first one (MAPE, Kendall tau), and how many held-out
networks lie in the 90 % intervals; the curve tells how the error falls with the number of
measurements. Measurements are kept in FOLDER, and a second start goes on with them. ``--fronts``
names finished runs, whose verified members are predicted and measured too. With two runtimes or
precisions, the first's predictor is adapted to the second by ``ADAPTED`` measurements, beside
learning from those alone.

Of 40 networks, 33 to 39 lie in an interval that is right. ``--splits`` therefore draws anew, so
many times, who of all measured networks is learned from and who is held out, and says how many lie
inside on average.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from spaces import packaged

from nas.front import Front
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.file import MeasurementFile
from nas.measurement.protocol import measure_models
from nas.measurement.records import Measurement
from nas.measurement.repeatability import Agreement, agreement
from nas.predictors.fit import fit_predictor
from nas.predictors.predictor import LatencyPredictor
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.costs import SpaceCosts
from supernet.extract import build_model

SPACES = {"colour32": 32, "deit_tiny": 224, "pyramid": 64}
RUNTIMES = ("torch_eager", "onnxruntime")
BOUND = 0.9
"""Confidence of the upper bounds whose coverage is printed."""
CURVE = (20, 30, 40, 60, 80, 100)
CLASSES = 10
ADAPTED = 10


@dataclass(frozen=True)
class Case:
    """One space on one profile, and where its measurements lie."""

    space: SearchSpace
    costs: SpaceCosts
    profile: HardwareProfile
    folder: Path

    def measure(self, networks: Sequence[Architecture], part: str, seed: int) -> list[Measurement]:
        """Measure what the part's file does not hold yet."""
        path = self.folder / f"{self.profile.key()}.{part}.jsonl"
        items = [(each, partial(build_model, each, CLASSES)) for each in networks]
        return measure_models(items, self.profile, path, seed=seed)

    def stored(self, part: str) -> list[Measurement]:
        """What the part's file holds."""
        key = self.profile.key()
        return MeasurementFile(self.folder / f"{key}.{part}.jsonl", key).measurements()

    def features(self, rows: Sequence[Measurement]) -> np.ndarray:
        """(B, F) of what was measured."""
        return self.costs(self.genes(rows)).features_BF

    def genes(self, rows: Sequence[Measurement]) -> np.ndarray:
        """(B, G) of what was measured."""
        found = [Architecture.from_dict(row.architecture) for row in rows]
        return np.stack([self.space.encode(each) for each in found])

    def fit(self, rows: Sequence[Measurement]) -> LatencyPredictor:
        """A predictor of the rows."""
        return fit_predictor(rows, self.features(rows), self.costs.feature_names)


@dataclass(frozen=True)
class Result:
    """What one case showed."""

    family: str
    found: Agreement
    repeat: Agreement
    inside: int
    curve: tuple[tuple[int, Agreement], ...]


def drawn(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Distinct random networks."""
    rng, found = np.random.default_rng(seed), dict[str, Architecture]()
    while len(found) < count:
        each = space.sample(rng)
        found.setdefault(each.digest(), each)
    return list(found.values())


def judge(case: Case, subnets: int, held_out: int, seed: int) -> Result:
    """Measure and compare."""
    unseen = drawn(case.space, held_out, seed=2 * seed + 1)
    seen = {each.digest() for each in unseen}
    several = drawn(case.space, subnets + held_out, 2 * seed)
    learned = [each for each in several if each.digest() not in seen]
    first = case.measure(unseen, "held_out", 1)
    rows = case.measure(learned[:subnets], "learned", 2)
    again = {row.digest: row for row in case.measure(unseen, "held_out_again", 3)}
    first = [row for row in first if row.digest in again]
    features_BF = case.features(first)
    curve = []
    for count in sorted({min(count, len(rows)) for count in CURVE}):
        predictor = case.fit(rows[:count])
        true_ms_B = np.array([predictor.comparable_ms(row) for row in first])
        guess = predictor.predict(features_BF)
        curve.append((count, agreement(guess.mean_ms_B, true_ms_B)))
    second_ms_B = np.array([predictor.comparable_ms(again[row.digest]) for row in first])
    inside = (guess.low_ms_B <= true_ms_B) & (true_ms_B <= guess.high_ms_B)
    return Result(
        family=predictor.data.family,
        found=curve[-1][1],
        repeat=agreement(second_ms_B, true_ms_B),
        inside=int(inside.sum()),
        curve=tuple(curve),
    )


def covered(case: Case, subnets: int, splits: int) -> tuple[float, float]:
    """Shares of held-out networks inside the intervals, and below upper bounds: mean of splits."""
    found = [case.stored(part) for part in ("learned", "held_out")]
    rows = [row for part in found for row in part]
    inside, below = [], []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(rows))
        learned, unseen = ([rows[i] for i in part] for part in np.split(order, [subnets]))
        predictor, features_BF = case.fit(learned), case.features(unseen)
        true_ms_B = np.array([predictor.comparable_ms(row) for row in unseen])
        guess = predictor.predict(features_BF)
        inside.append(np.mean((guess.low_ms_B <= true_ms_B) & (true_ms_B <= guess.high_ms_B)))
        below.append(np.mean(true_ms_B <= predictor.upper_ms(features_BF, BOUND)))
    return float(np.mean(inside)), float(np.mean(below))


def adapted(source: Case, target: Case) -> tuple[Agreement, Agreement]:
    """How well ``ADAPTED`` measurements do with the source's predictor, and without."""
    there, here = (case.stored("learned") for case in (source, target))
    unseen = target.stored("held_out")
    few, names = here[:ADAPTED], target.costs.feature_names
    found = []
    for base in (source.fit(there), None):
        predictor = fit_predictor(few, target.features(few), names, base=base)
        true_ms_B = np.array([predictor.comparable_ms(row) for row in unseen])
        found.append(agreement(predictor.mean_ms(target.features(unseen)), true_ms_B))
    return found[0], found[1]


def main() -> None:
    """Print the table and the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where measurements are kept")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    parser.add_argument("--precisions", nargs="+", default=["fp32"])
    parser.add_argument("--subnets", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="which networks are drawn")
    parser.add_argument("--splits", type=int, default=0, help="random splits of what was measured")
    parser.add_argument("--fronts", nargs="*", type=Path, default=[], help="finished runs")
    options = parser.parse_args()
    ways = [(runtime, each) for runtime in options.runtimes for each in options.precisions]
    inside = {" ".join(way): [0, 0] for way in ways}
    print(f"{'space':10} {'runtime':23} {'family':11}  MAPE  (repeat)    tau  (repeat)  in 90 %")
    for name in options.spaces:
        space = packaged(name, SPACES[name])
        costs = SpaceCosts(space, CLASSES)
        cases: list[Case] = []
        for runtime, precision in ways:
            config = HardwareConfig(runtime=runtime, precision=precision)
            profile = HardwareProfile.of("cpu", config, space.spec.image_size, 3)
            case = Case(space, costs, profile, options.folder / name)
            cases.append(case)
            got = judge(case, options.subnets, options.held_out, options.seed)
            way = f"{runtime} {precision}"
            print(
                f"{name:10} {way:23} {got.family:11} {got.found.mape:5.1%} "
                f"({got.repeat.mape:5.1%})  {got.found.kendall_tau:6.3f} "
                f"({got.repeat.kendall_tau:6.3f})  {got.inside} of {got.found.n}",
                flush=True,
            )
            inside[way][0] += got.inside
            inside[way][1] += got.found.n
            points = [f"{n}: {each.mape:.1%} {each.kendall_tau:.3f}" for n, each in got.curve]
            print(f"{'':10} measured: MAPE tau  " + "   ".join(points), flush=True)
            if options.splits:
                both, above = covered(case, options.subnets, options.splits)
                print(
                    f"{'':10} {options.splits} random splits: {both:.1%} in the 90 % intervals, "
                    f"{above:.1%} below the upper bound of {BOUND:.0%}",
                    flush=True,
                )
        if len(cases) == 2:
            base, alone = adapted(*cases)
            there, here = map(" ".join, ways)
            print(
                f"{'':10} {there} adapted to {here} by {ADAPTED}: {base.mape:.1%} "
                f"{base.kendall_tau:.3f}, without: {alone.mape:.1%} {alone.kendall_tau:.3f}",
                flush=True,
            )
    for way, (count, total) in inside.items():
        print(f"{way}: {count} of {total} in the 90 % intervals ({count / total:.1%})")
    for folder in options.fronts:
        front = Front.load(folder / "front.json")
        error = Agreement.from_dict(front.front_error)
        print(
            f"front of {folder.name}, {front.profile['runtime']}: MAPE {error.mape:.1%}, "
            f"tau {error.kendall_tau:.3f}, {error.n} members"
        )


if __name__ == "__main__":
    main()
