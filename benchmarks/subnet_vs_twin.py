"""A subnet inside the supernet beside its extracted twin, and the twin beside timm's ViT.

    uv run python benchmarks/subnet_vs_twin.py [--nets 4] [--repeats 12]

Runs in turn (A B, B A, …) on one thread; the ratio is the twin's process time over the subnet's,
of the fastest runs and of the medians: 1.0 means that living in the supernet costs nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from spaces import SPACES
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.extract import build_model
from supernet.model import Supernet, extract

CLASSES = 10
CASES = (("digits", 64), ("digits", 256), ("autoformer_t", 2), ("autoformer_t", 8))
Forward = Callable[[Tensor], Tensor]


def seconds(forward: Forward, images: Tensor, backward: bool) -> float:
    """Process time of one pass."""
    started = time.process_time()
    logits = forward(images)
    if backward:
        logits.sum().backward()
    return time.process_time() - started


def compare(
    first: tuple[Forward, Iterable[nn.Parameter]],
    second: tuple[Forward, Iterable[nn.Parameter]],
    images: Tensor,
    backward: bool,
    repeats: int,
) -> tuple[float, float]:
    """Time of the second over time of the first: fastest runs, medians."""
    times: tuple[list[float], list[float]] = ([], [])
    sides = [(first[0], list(first[1])), (second[0], list(second[1]))]
    for turn in range(repeats + 2):
        for index in (0, 1) if turn % 2 else (1, 0):
            forward, parameters = sides[index]
            for parameter in parameters:
                parameter.grad = None
            taken = seconds(forward, images, backward)
            if turn >= 2:  # two turns warm up
                times[index].append(taken)
    a, b = np.array(times[0]), np.array(times[1])
    return float(b.min() / a.min()), float(np.median(b) / np.median(a))


def deit_tiny() -> Architecture:
    """DeiT-Ti: class token, position table, 12 layers of width 192."""
    block = Block(attention=OpSetting("softmax"), heads=3, head_dim=64, mlp_hidden=768)
    return Architecture(
        image_size=(224, 224),
        channels=3,
        patch_size=16,
        position=OpSetting("table"),
        special_tokens=1,
        pooling="class",
        stages=(Stage(width=192, blocks=(block,) * 12),),
    )


def show(label: str, backward: bool, ratios: list[tuple[float, float]]) -> None:
    """One line: medians over subnets, and the lowest."""
    table = np.array(ratios)
    best, median = np.median(table, axis=0)
    kind = "forward + backward" if backward else "forward           "
    print(f"{label:34} {kind}  {best:.3f}  {median:.3f}  lowest {table[:, 0].min():.3f}")


def main() -> None:
    """Print the table."""
    import timm

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'ratio of process times, one thread':34} {'':18}  fastest  median")
    for name, batch in CASES:
        space = SPACES[name]()
        supernet = Supernet(space, CLASSES).eval()
        images = torch.randn(batch, space.spec.channels, *space.spec.image_size)
        for backward in (False, True):
            ratios = []
            for seed in range(options.nets):
                member = space.sample(np.random.default_rng(seed))
                twin = extract(supernet, member)
                inside: Forward = lambda x, s=supernet, m=member: s(x, m)  # type: ignore[misc] # noqa: E731
                with torch.inference_mode(not backward):
                    ratios.append(
                        compare(
                            (inside, supernet.parameters()),
                            (twin, twin.parameters()),
                            images,
                            backward,
                            options.repeats,
                        )
                    )
            show(f"subnet / twin, {name}, batch {batch}", backward, ratios)
    ours = build_model(deit_tiny(), 1000).eval()
    theirs = timm.create_model("deit_tiny_patch16_224", pretrained=False).eval()
    images = torch.randn(2, 3, 224, 224)
    for backward in (False, True):
        with torch.inference_mode(not backward):
            ratio = compare(
                (ours, ours.parameters()), (theirs, theirs.parameters()), images, backward, 12
            )
        show("our DeiT-Ti / timm's, batch 2", backward, [ratio])


if __name__ == "__main__":
    main()
