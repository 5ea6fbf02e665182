"""The closed form of peak memory beside what is measured, in torch eager or in ONNX Runtime.

    uv run python benchmarks/memory.py [--runtime onnxruntime] [--precision int8] [--seed 0]
        [--scale 1.0]

Random subnets, one forward pass each on one thread: torch's allocator in eager mode, or the growth
of a fresh process with ONNX Runtime, where that is 4 MB or more. Printed are the mean and the
largest relative error of peak activations, and of peak memory (weights included). Nothing is
fitted; the rules of ONNX Runtime were written with networks of seed 0 in view, so another seed's
are held out. For ONNX Runtime torch's closed form stands beside its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import torch
from spaces import autoformer_patch_8, autoformer_t, colour_32, colour_224, deit_tiny, digits

from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.memory import measure_peak_memory
from nas.runtimes.base import RUNTIMES
from search_spaces.space import SearchSpace
from supernet.costs import TORCH_EAGER, SpaceCosts
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
}
"""Space, images a batch, subnets that are measured."""
DRAWN = 5
"""Subnets drawn for each that is wanted: small ones are not claimed."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtime", choices=sorted(CASES), default="torch_eager")
    parser.add_argument("--precision", default="fp32", help="of ONNX Runtime")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the subnets")
    parser.add_argument("--seed", type=int, default=0, help="of the subnets")
    options = parser.parse_args()
    print(
        f"{'':20}batch  subnets   activations: mean  largest   with weights: mean  largest"
        "    torch's form: mean  largest"
    )
    for make, batch, count in CASES[options.runtime]:
        space, count = make(), max(round(count * options.scale), 2)
        errors = []
        config = HardwareConfig(runtime=options.runtime, precision=options.precision, batch=batch)
        for own, torch_own, found in measured(config, space, count, options.seed):
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


def measured(
    config: HardwareConfig, space: SearchSpace, count: int, seed: int
) -> Iterator[tuple[tuple[float, float], float, tuple[float, float]]]:
    """Activations and all memory by the runtime's closed form, activations by torch's, and the
    activations and weights that were measured.

    All in 10^6 bytes; subnets whose memory the runtime does not tell are left out.
    """
    spec, runtime, batch = space.spec, config.runtime, config.batch or 1
    profile = HardwareProfile.of("cpu", config, spec.image_size, spec.channels)
    plugin = RUNTIMES[runtime]
    own = (plugin.liveness(profile) or TORCH_EAGER).costs(space, CLASSES)
    plain = SpaceCosts(space, CLASSES)
    images_BCHW = torch.randn(batch, spec.channels, *spec.image_size)
    told, drawn = 0, count if runtime == TORCH_EAGER.runtime else DRAWN * count
    for row in space.sample_genes(np.random.default_rng(seed), drawn):
        if told == count:
            return
        model = build_model(space.decode(row), CLASSES).eval()
        if runtime == TORCH_EAGER.runtime:
            found = measure_peak_memory(model, images_BCHW)
        else:
            memory = plugin.peak_memory(model, images_BCHW, profile)
            if memory is None:
                continue
            found = memory
        told += 1
        costs = own(row[None])
        yield (
            (float(costs.peak_activation_mb(batch)[0]), float(costs.peak_memory_mb(batch)[0])),
            float(plain(row[None]).peak_activation_mb(batch)[0]),
            (found.peak_activation_mb, found.weights_mb),
        )


if __name__ == "__main__":
    main()
