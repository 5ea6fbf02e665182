"""Candidates priced per second: whole gene matrices beside one architecture after the other.

    uv run python benchmarks/costs.py [--batch 20000] [--repeats 7]

The latency predictor is fitted on real measurements of the default space (torch eager, 40 subnets);
for the other space its targets are made up from MACs, since only the speed of predicting counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from spaces import SPACES

from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.protocol import measure_models
from nas.predictors.fit import fit_predictor
from nas.predictors.predictor import LatencyPredictor
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.costs import SpaceCosts
from supernet.extract import build_model
from supernet.workload import workload

CLASSES, SUBNETS, SINGLES = 10, 40, 200


def build(architecture: Architecture) -> torch.nn.Module:
    """A standalone model with random weights."""
    return build_model(architecture, CLASSES).eval()


def predictor_of(space: SearchSpace, costs: SpaceCosts) -> LatencyPredictor:
    """A predictor on real torch-eager measurements of this space."""
    nets = [space.sample(np.random.default_rng(seed)) for seed in range(SUBNETS)]
    config = HardwareConfig(runtime="torch_eager")
    spec = space.spec
    profile = HardwareProfile.of("cpu_torch", config, spec.image_size, spec.channels)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_models(
            [(net, partial(build, net)) for net in nets], profile, Path(folder) / "rows.jsonl"
        )
    measured = [Architecture.from_dict(row.architecture) for row in rows]
    priced = costs(np.stack([space.encode(net) for net in measured]))
    return fit_predictor(rows, priced.features_BF, priced.feature_names)


def per_second(work: Callable[[], object], count: int, repeats: int) -> float:
    """Candidates per second of process time, the best of several repeats."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return count / min(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"batches of {options.batch}, best of {options.repeats}, process time, one thread")
    for name, make in SPACES.items():
        space = make()
        costs = SpaceCosts(space, CLASSES)
        genes = space.sample_genes(np.random.default_rng(0), options.batch)
        nets = [space.decode(row) for row in genes[:SINGLES]]
        singly = per_second(
            lambda nets=nets: [  # type: ignore[misc]
                workload.__wrapped__(net, CLASSES).peak_memory_mb() for net in nets
            ],
            SINGLES,
            3,
        )
        batched = per_second(partial(costs, genes), options.batch, options.repeats)
        print(f"{name}: {space.cardinality():.3g} architectures, {len(space.genes)} genes")
        print(f"  one by one (params, MACs, memory)     {singly:12,.0f} /s")
        print(f"  in batches (same), ×{batched / singly:<6.0f}            {batched:12,.0f} /s")
        if name == "digits":
            predictor = predictor_of(space, costs)
            timed = per_second(
                lambda c=costs, g=genes, p=predictor: p.mean_ms(c(g).features_BF),  # type: ignore[misc]
                options.batch,
                options.repeats,
            )
            print(f"  … with latency ({predictor.data.family:7}), repair included {timed:7,.0f} /s")


if __name__ == "__main__":
    main()
