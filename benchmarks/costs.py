"""Candidates priced per second: whole gene matrices, beside one architecture after the other.

    uv run python benchmarks/costs.py [--batch 20000] [--repeats 9] [--threads 1]

Priced are parameters, MACs and peak memory; then predicted latency as well, with a predictor of
every family. Predictors are fitted on 60 subnets whose latencies are made up (MACs and memory
traffic, with 3 % noise): how fast a predictor answers does not depend on what it has learned.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from spaces import SPACES

from nas.predictors.family import FAMILIES, Regression
from search_spaces.space import SearchSpace
from supernet.costs import Costs, SpaceCosts
from supernet.workload import workload

CLASSES, SUBNETS, SINGLES = 10, 60, 200


def fitted(family: str, costs: Costs) -> Regression:
    """A regression of this family on made-up latencies."""
    noise_B = np.random.default_rng(0).normal(1.0, 0.03, len(costs.macs_B))
    moved = [name.endswith("_moved") for name in costs.feature_names]
    traffic_B = costs.features_BF[:, moved].sum(axis=1)
    latency_ms_B = (0.1 + costs.macs_B / 5e7 + traffic_B / 1e7) * noise_B
    member = FAMILIES[family]
    return member.fit(costs.features_BF, latency_ms_B, member.grid()[0], 0)


def per_second(work: Callable[[], object], count: int, repeats: int) -> float:
    """Candidates per second of process time, the best of several repeats behind a warm-up."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return count / min(seconds)


def one_by_one(space: SearchSpace, repeats: int) -> float:
    """Architectures per second through ``workload``, its memory of former calls left aside."""
    rows = space.sample_genes(np.random.default_rng(1), SINGLES)
    architectures = [space.decode(row) for row in rows]

    def work() -> None:
        for architecture in architectures:
            found = workload.__wrapped__(architecture, CLASSES)
            _ = found.params, found.macs, found.peak_memory_mb()

    return per_second(work, SINGLES, repeats)


def report(name: str, batch: int, repeats: int) -> None:
    """Print one space's lines."""
    space = SPACES[name]()
    costs = SpaceCosts(space, CLASSES)
    genes_BG = space.sample_genes(np.random.default_rng(0), batch)
    started = time.process_time()
    costs(genes_BG)
    first = batch / (time.process_time() - started)

    def price() -> Costs:
        found = costs(genes_BG)
        found.peak_memory_mb()
        return found

    batched, single = per_second(price, batch, repeats), one_by_one(space, 3)
    print(f"{name}: {space.cardinality():.3g} architectures, {len(space.genes)} genes")
    print(f"  params + MACs + memory, in batches    {batched:12,.0f} /s")
    print(f"    the first batch, tables still empty {first:12,.0f} /s")
    print(f"    one by one                          {single:12,.0f} /s")
    print(f"    ratio                               {batched / single:12,.0f}")
    known = costs(space.sample_genes(np.random.default_rng(2), SUBNETS))
    for family in FAMILIES.names():
        regression = fitted(family, known)
        timed = per_second(lambda r=regression: r(price().features_BF), batch, repeats)
        print(f"  with latency, {family:8}                {timed:12,.0f} /s")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"batches of {options.batch:,}, repair included; process time, best of {options.repeats}, "
        f"{options.threads} thread of torch; goals: 100,000 /s, with latency 20,000 /s"
    )
    for name in SPACES:
        report(name, options.batch, options.repeats)


if __name__ == "__main__":
    main()
