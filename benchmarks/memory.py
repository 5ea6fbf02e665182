"""The closed form of peak memory beside what torch's allocator hands out.

    uv run python benchmarks/memory.py [--scale 1.0]

Random subnets, one forward pass each in eager mode on one thread. Printed are the mean and the
largest relative error of peak activations, and of peak memory (weights included).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from spaces import colour_32, colour_224, digits

from nas.measurement.memory import measure_peak_memory
from supernet.extract import build_model
from supernet.workload import workload

CLASSES = 10
CASES = (
    (digits, 1, 200),
    (digits, 2, 100),
    (digits, 8, 100),
    (digits, 64, 100),
    (colour_32, 1, 60),
    (colour_32, 8, 30),
    (colour_224, 1, 25),
)
"""Space, images a batch, subnets."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the subnets")
    options = parser.parse_args()
    print(f"{'':14}batch  subnets   activations: mean  largest   with weights: mean  largest")
    for make, batch, count in CASES:
        space, count = make(), max(round(count * options.scale), 2)
        images_BCHW = torch.randn(batch, space.spec.channels, *space.spec.image_size)
        errors = []
        for row in space.sample_genes(np.random.default_rng(0), count):
            architecture = space.decode(row)
            work = workload(architecture, CLASSES)
            found = measure_peak_memory(build_model(architecture, CLASSES), images_BCHW)
            errors.append(
                (
                    abs(work.peak_activation_mb(batch) / found.peak_activation_mb - 1),
                    abs(work.peak_memory_mb(batch) / found.peak_memory_mb - 1),
                )
            )
        (live, whole), (live_most, whole_most) = np.mean(errors, axis=0), np.max(errors, axis=0)
        print(
            f"{make.__name__:14}{batch:5}{count:9}{live:19.2%}{live_most:9.2%}"
            f"{whole:21.2%}{whole_most:9.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
