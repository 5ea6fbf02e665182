"""A subnet inside the supernet beside its extracted twin, and the twin beside timm's ViT.

    uv run python benchmarks/subnet_vs_twin.py [--nets 6] [--scale 1.0] [--threads 1]

Both sides run in turn, A B then B A, on the same images. A ratio is the process time of the right
side over that of the left: 1.0 means equally fast, below it the left side is the slower one.
Gradients are dropped before every pass; there is no optimiser step. A member is bound to the
supernet's weights once, as training and evaluation do; what binding costs is printed beside.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from spaces import SPACES
from torch import Tensor, nn

from nas.device import keep_large_blocks
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.extract import build_model
from supernet.model import Supernet, extract
from supernet.network import resolve

CLASSES = 10
CASES = (("digits", 64, 200), ("digits", 256, 60), ("autoformer_t", 2, 16), ("autoformer_t", 8, 6))
"""Space, images a batch, pairs of runs: at least 256 tokens in every batch."""


@dataclass(frozen=True)
class Side:
    """What is timed, and whose gradients are dropped in between."""

    forward: Callable[[Tensor], Tensor]
    parameters: tuple[nn.Parameter, ...]

    def seconds(self, images_BCHW: Tensor, backward: bool) -> float:
        """Process time of one pass."""
        for parameter in self.parameters:
            parameter.grad = None
        started = time.process_time()
        logits_BK = self.forward(images_BCHW)
        if backward:
            logits_BK.sum().backward()
        return time.process_time() - started


def compare(
    left: Side, right: Side, images_BCHW: Tensor, backward: bool, pairs: int
) -> tuple[float, float, float]:
    """Time of the right side over the left's: of minima, of medians, median over pairs."""
    times = np.zeros((pairs + 2, 2))
    with torch.inference_mode(not backward):
        for turn in range(pairs + 2):
            for index in (0, 1) if turn % 2 else (1, 0):
                times[turn, index] = (left, right)[index].seconds(images_BCHW, backward)
    mine, theirs = times[2:].T  # the first two turns warm up
    return (
        float(theirs.min() / mine.min()),
        float(np.median(theirs) / np.median(mine)),
        float(np.median(theirs / mine)),
    )


def show(label: str, backward: bool, ratios: list[tuple[float, float, float]]) -> None:
    """One line: medians over networks, and the range of the pairs' medians."""
    table = np.array(ratios)
    minima, medians, paired = np.median(table, axis=0)
    kind = "forward + backward" if backward else "forward"
    spread = f"{table[:, 2].min():.3f} … {table[:, 2].max():.3f}"
    print(f"{label:38}{kind:20}{minima:8.3f}{medians:9.3f}{paired:8.3f}   {spread}", flush=True)


def against_twins(name: str, batch: int, pairs: int, nets: int) -> None:
    """Random subnets of one space beside their twins."""
    space = SPACES[name]()
    torch.manual_seed(0)
    supernet = Supernet(space, CLASSES).eval()
    images_BCHW = torch.randn(batch, space.spec.channels, *space.spec.image_size)
    found: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    for row in space.sample_genes(np.random.default_rng(0), nets):
        member = space.decode(row)
        twin = extract(supernet, member)

        inside, theirs = supernet.member(member), tuple(twin.parameters())
        left, right = Side(inside, tuple(supernet.parameters())), Side(twin, theirs)
        for backward, ratios in found.items():
            ratios.append(compare(left, right, images_BCHW, backward, pairs))
    for backward, ratios in found.items():
        show(f"subnet / twin, {name}, batch {batch}", backward, ratios)


def binding(name: str, count: int = 200) -> None:
    """What it costs to bind a member that was never seen, which is done once per candidate."""
    space = SPACES[name]()
    supernet = Supernet(space, CLASSES).eval()
    members = [space.decode(row) for row in space.sample_genes(np.random.default_rng(1), count)]
    times = []
    for member in members:
        resolve(member, CLASSES)  # checked and laid out already when it was proposed
        started = time.process_time()
        supernet.member(member)
        times.append(1e3 * (time.process_time() - started))
    print(f"{f'binding a new member, {name}':58}{np.median(times):.2f} ms", flush=True)


def against_timm(batch: int, pairs: int) -> None:
    """DeiT-Ti (class token, position table, softmax) as a twin beside timm's."""
    import timm

    block = Block(attention=OpSetting("softmax"), heads=3, head_dim=64, mlp_hidden=768)
    deit_tiny = Architecture(
        image_size=(224, 224),
        channels=3,
        patch_size=16,
        position=OpSetting("table"),
        special_tokens=1,
        pooling="class",
        stages=(Stage(width=192, blocks=(block,) * 12),),
    )
    ours = build_model(deit_tiny, 1000).eval()
    theirs = timm.create_model("deit_tiny_patch16_224", pretrained=False).eval()
    left, right = (Side(model, tuple(model.parameters())) for model in (ours, theirs))
    images_BCHW = torch.randn(batch, 3, 224, 224)
    for backward in (False, True):
        ratio = compare(left, right, images_BCHW, backward, pairs)
        show(f"twin / timm, DeiT-Ti, batch {batch}", backward, [ratio])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=int, default=6, help="random subnets of each space")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the pairs of runs")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_large_blocks()  # as the pipeline does
    print(
        f"{options.nets} subnets a space, process time, {options.threads} thread; "
        "goals: forward 0.97, forward + backward 0.95, timm 1.0"
    )
    print(f"{'left / right':38}{'':20}{'minima':>8}{'medians':>9}{'pairs':>8}   range of pairs")
    for name, batch, pairs in CASES:
        against_twins(name, batch, max(round(pairs * options.scale), 3), options.nets)
    for name in dict.fromkeys(name for name, _, _ in CASES):
        binding(name)
    for batch, pairs in ((2, 40), (8, 10)):
        against_timm(batch, max(round(pairs * options.scale), 3))


if __name__ == "__main__":
    main()
