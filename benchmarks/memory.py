"""Peak memory as a search prices it beside what is measured, in every runtime on this computer.

    uv run python benchmarks/memory.py [--runtime onnxruntime] [--precision int8] [--seed 0]
        [--spaces digits] [--fitted 40] [--scale 1.0]

Random subnets, one forward pass each on one thread: torch's allocator in eager mode and compiled,
or the growth of a fresh process with ONNX Runtime and OpenVINO, where that is large enough to be
told. Printed are the mean and the largest relative error of peak activations, and of peak memory
(weights included). Where the runtime has a closed form nothing is fitted; the rules of ONNX Runtime
were written with networks of seed 0 in view, so another seed's are held out. Elsewhere a form is
fitted to ``--fitted`` networks as ``formfinder profile`` chooses them, and held against others.
Torch eager's closed form stands beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from spaces import autoformer_patch_8, autoformer_t, colour_32, colour_224, deit_tiny, digits

from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.fitted_liveness import FittedLiveness
from nas.measurement.memory import PeakMemory, measure_peak_memory
from nas.measurement.memory_fit import fit_memory
from nas.runtimes.base import RUNTIMES
from nas.steps.memory_fitting import MOST
from nas.steps.subnets import profile_subnets
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.costs import TORCH_EAGER, Liveness, SpaceCosts
from supernet.extract import build_model

CLASSES = 10
Case = tuple[Callable[[], SearchSpace], int, int]
CASES: dict[str, tuple[Case, ...]] = {
    "torch_eager": (
        (digits, 1, 200),
        (digits, 2, 100),
        (digits, 8, 100),
        (digits, 64, 100),
        (colour_32, 1, 60),
        (colour_32, 8, 30),
        (colour_224, 1, 25),
    ),
    "onnxruntime": (
        (autoformer_t, 8, 20),
        (deit_tiny, 8, 20),
        (colour_224, 8, 20),
        (autoformer_patch_8, 1, 20),
    ),
    "openvino": (
        (digits, 64, 20),
        (colour_224, 8, 20),
        (deit_tiny, 8, 20),
    ),
    "torch_compile": (
        (digits, 8, 20),
        (colour_224, 8, 20),
    ),
}
"""Space, images a batch, subnets that are measured."""
DRAWN = 5
"""Subnets drawn for each that is wanted: small ones are not claimed."""
EXACT = ("torch_eager", "torch_compile")
"""They tell all."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtime", choices=sorted(CASES), default="torch_eager")
    parser.add_argument("--precision", default="fp32", help="of ONNX Runtime and OpenVINO")
    parser.add_argument("--spaces", nargs="+", help="of those that the runtime is tried on")
    parser.add_argument("--fitted", type=int, default=MOST, help="subnets a form is fitted to")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the subnets")
    parser.add_argument("--seed", type=int, default=0, help="of the subnets")
    options = parser.parse_args()
    print(
        f"{'':20}batch  subnets   activations: mean  largest   with weights: mean  largest"
        "    torch's form: mean  largest"
    )
    for make, batch, count in CASES[options.runtime]:
        if options.spaces and make.__name__ not in options.spaces:
            continue
        space, count = make(), max(round(count * options.scale), 2)
        errors = []
        config = HardwareConfig(runtime=options.runtime, precision=options.precision, batch=batch)
        draws = Draws(count, options.seed, options.fitted)
        for own, torch_own, found in measured(config, space, draws):
            activation, weights = found
            errors.append(
                (
                    abs(own[0] / activation - 1),
                    abs(own[1] / (activation + weights) - 1),
                    abs(torch_own / activation - 1),
                )
            )
        columns = zip(np.mean(errors, axis=0), np.max(errors, axis=0), strict=True)
        cells = [f"{mean:19.2%}{most:9.2%}" for mean, most in columns]
        print(f"{make.__name__:20}{batch:5}{len(errors):9}{'  '.join(cells)}", flush=True)


@dataclass(frozen=True)
class Draws:
    """How many subnets are held against, of which seed, and how many a form is fitted to."""

    held_out: int
    seed: int
    fitted: int


def measured(
    config: HardwareConfig, space: SearchSpace, draws: Draws
) -> Iterator[tuple[tuple[float, float], float, tuple[float, float]]]:
    """Activations and all memory by the runtime's own form, activations by torch's, and the
    activations and weights that were measured.

    All in 10^6 bytes; subnets whose memory the runtime does not tell are left out.
    """
    spec, runtime, batch = space.spec, config.runtime, config.batch or 1
    profile = HardwareProfile.of("cpu", config, spec.image_size, spec.channels)
    plain = SpaceCosts(space, CLASSES)
    closed = TORCH_EAGER if runtime == TORCH_EAGER.runtime else RUNTIMES[runtime].liveness(profile)
    drawn = draws.held_out if runtime in EXACT else DRAWN * draws.held_out
    rows = list(space.sample_genes(np.random.default_rng(draws.seed), drawn))
    apart = {space.decode(row).digest() for row in rows}
    own = (closed or _fitted(profile, space, draws, apart)).costs(space, CLASSES)
    told = 0
    for row in rows:
        if told == draws.held_out:
            return
        memory = _measured(profile, space.decode(row))
        if memory is None:
            continue
        told += 1
        costs = own(row[None])
        yield (
            (float(costs.peak_activation_mb(batch)[0]), float(costs.peak_memory_mb(batch)[0])),
            float(plain(row[None]).peak_activation_mb(batch)[0]),
            (memory.peak_activation_mb, memory.weights_mb),
        )


def _fitted(
    profile: HardwareProfile, space: SearchSpace, draws: Draws, apart: set[str]
) -> Liveness:
    """A form fitted to subnets as they are profiled, without those it is held against."""
    run: Any = SimpleNamespace(
        offered=space, config=SimpleNamespace(seed=0), costs=SpaceCosts(space, CLASSES)
    )
    subnets = [n for n in profile_subnets(run, draws.fitted) if n.digest() not in apart]
    found = [(subnet, _measured(profile, subnet)) for subnet in subnets]
    networks, memory = zip(*((n, m) for n, m in found if m is not None), strict=True)
    fitted = fit_memory(networks, memory, CLASSES)
    error = np.abs(fitted.held_out_mb / np.array([m.peak_memory_mb for m in memory]) - 1)
    print(f"  fitted to {len(memory)}, cross-validated {error.mean():.2%}, {error.max():.2%}")
    return FittedLiveness.of(profile.runtime, fitted.form)


def _measured(profile: HardwareProfile, network: Architecture) -> PeakMemory | None:
    """Memory in the profile's runtime, where that tells."""
    model = build_model(network, CLASSES).eval()
    images_BCHW = torch.randn(profile.input_shape)
    if profile.runtime == TORCH_EAGER.runtime:
        return measure_peak_memory(model, images_BCHW)
    return RUNTIMES[profile.runtime].peak_memory(model, images_BCHW, profile)


if __name__ == "__main__":
    main()
