"""Latency of networks whose tokens depend on the image: predicted and measured, image by image.

    uv run python benchmarks/token_distribution.py RUN [--members 12]

RUN is a finished run on torch eager whose space has ``ats``. Of random members that use it, every
call of the profile's batch on the validation images is timed on its own, the calls in turns. Mean
and 95th percentile over the calls stand beside what the predictor says of the calls' tokens, and
beside what it says of an image that keeps the most.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from nas.config import load_config
from nas.hardware.profile import HardwareProfile
from nas.run import Run
from nas.runtimes.base import RUNTIMES, FloatArray
from nas.steps.by_image import SLOW, Calls, calls_of
from nas.steps.profiling import load_predictor
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.model import Supernet, extract
from supernet.ragged import is_ragged
from supernet.training.checkpoint import load_checkpoint
from supernet.workload import workload

ROUNDS, RUNS = 5, 12


def measured_ms(calls: Calls, profile: HardwareProfile) -> FloatArray:
    """Time of each call ``(C,)``: its fastest of ``ROUNDS`` times ``RUNS``, all calls in turns."""
    runtime, example = RUNTIMES[profile.runtime], torch.zeros(profile.input_shape)
    fastest_C = np.full(len(calls.tokens_C), np.inf)
    loaded = [
        runtime.prepare(calls.item(call)[1](), example, profile)
        for call in range(len(calls.tokens_C))
    ]
    for _ in range(ROUNDS):
        for call, prepared in enumerate(loaded):
            fastest_C[call] = min(fastest_C[call], *prepared.durations_ms(RUNS))
    return fastest_C


def drawn(space: SearchSpace, count: int) -> list[Architecture]:
    """Distinct random members whose tokens depend on the image."""
    rng, found = np.random.default_rng(0), dict[str, Architecture]()
    while len(found) < count:
        each = space.sample(rng)
        if is_ragged(each):
            found.setdefault(each.digest(), each)
    return list(found.values())


def ends(values_C: FloatArray) -> tuple[float, float]:
    """Mean and 95th percentile."""
    return float(values_C.mean()), float(np.quantile(values_C, SLOW, method="inverted_cdf"))


def main() -> None:
    """Print a row a member, and the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--members", type=int, default=12)
    options = parser.parse_args()
    run = Run(load_config(options.run / "config.yaml"), write=False)
    profile, predictor = run.profile, load_predictor(run, run.profile)
    supernet = Supernet(run.space, run.num_classes).eval()
    supernet.load_state_dict(load_checkpoint(run.folder.supernet).section("average"))
    print(f"{profile.key()}, ms: mean and 95th percentile over calls")
    print(f"{'member':16} {'tokens (most)':>16} {'measured':>16} {'predicted':>16} {'at most':>8}")
    rows = []
    for architecture in drawn(run.space, options.members):
        calls = calls_of(run, profile, extract(supernet, architecture).eval())
        assert calls is not None, "the runtime gives every image the most tokens"
        most_ms = predictor.mean_ms(run.costs(run.genes([architecture])).features_BF)[0]
        _, features_CF = run.costs.traced(architecture, calls.tokens_C)
        tokens, found = ends(calls.tokens_C), ends(measured_ms(calls, profile))
        guess = ends(predictor.mean_ms(features_CF))
        rows.append((*found, *guess, most_ms))
        most = workload(architecture, 1).layers[-1].tokens_in - architecture.special_tokens
        print(
            f"{architecture.digest():16} {tokens[0]:6.1f} {tokens[1]:3.0f} ({most:3d}) "
            f"{found[0]:8.4f} {found[1]:7.4f} {guess[0]:8.4f} {guess[1]:7.4f} {most_ms:8.4f}",
            flush=True,
        )
    table = np.array(rows)
    # The profile's figures are medians on its machine as it was; these are fastest runs.
    scale = float(np.median(table[:, 0] / table[:, 2]))
    print(f"after one scale of {scale:.3f}:")
    for name, told, true in (("mean", 2, 0), ("p95", 3, 1), ("mean, told as the most", 4, 0)):
        error = np.abs(table[:, told] * scale / table[:, true] - 1)
        print(f"{name}: MAPE {error.mean():.1%}, largest {error.max():.1%}")


if __name__ == "__main__":
    main()
