"""Training throughput at AutoFormer-Tiny's size, beside a straightforward AutoFormer.

    uv run python benchmarks/autoformer_training.py [--threads 2] [--batch 32] [--scale 1.0]
        [--evaluation]

The straightforward formulation is `plain_autoformer.py`. Our side holds the same weights and is
first checked to give the same logits. Random subnets of AutoFormer's tiny space, 224 px, fp32;
what is timed is forward and backward of a cross entropy, without the optimiser's step, or forward
alone, for us as a search evaluates a member (`Member.frozen`). Both sides run in turn, A B B A, on
the same images and the same subnets. A ratio is the time of the right side over that of the left:
1.2 means that the left is 1.2 times as fast. Wall time is what counts on idle cores; process time
is what to read on busy ones.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_autoformer import Member, PlainAutoFormer
from torch import Tensor, nn
from torch.nn import functional as F

from nas.device import keep_large_blocks
from nas.retraining.precision import cpu_has_bf16
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.importing.fitting import fitting_space
from supernet.importing.imported import IMAGENET_MEAN, IMAGENET_STD, read_weights
from supernet.importing.initialise import Images, initialise
from supernet.model import Supernet
from supernet.operators import all_cards

CLASSES, SIDE = 1000, 224
NETS, ROUNDS = 3, 1
TOLERANCE = 1e-4
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Side:
    """A supernet, and how a member of it is called.

    Attributes:
        model: whose gradients are dropped in between.
        forwards: one function of images for each subnet.
        precision: the context a forward pass runs in.
    """

    model: nn.Module
    forwards: tuple[Forward, ...]
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext

    def run(self, net: int, images_BCHW: Tensor, labels_B: Tensor, train: bool) -> Cost:
        """One pass of one subnet."""
        self.model.zero_grad(set_to_none=True)
        faults, wall = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        process = time.process_time()
        with torch.inference_mode(not train):
            with self.precision():
                logits_BK = self.forwards[net](images_BCHW)
            if train:
                F.cross_entropy(logits_BK.float(), labels_B).backward()
        return Cost(
            time.perf_counter() - wall,
            time.process_time() - process,
            resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults,
        )


@dataclass(frozen=True)
class Cost:
    """Of one pass: seconds by the wall's clock, of the processor, and pages that were mapped."""

    wall_s: float
    process_s: float
    faults: int


def compare(
    left: Side, right: Side, batch: tuple[Tensor, Tensor], train: bool, rounds: int
) -> tuple[list[Cost], list[Cost]]:
    """Costs of both sides, pair by pair: A B B A for every subnet, after a pass to warm up."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    sides = (left, right)
    for net in range(len(left.forwards)):
        for side in sides:
            if net == 0 or not train:  # a frozen member lays out its weights, some 20 ms
                side.run(net, *batch, train)
        for index in (0, 1, 1, 0) * rounds:
            costs[index].append(sides[index].run(net, *batch, train))
    return costs


def show(label: str, costs: tuple[list[Cost], list[Cost]], images: int, goal: str) -> None:
    """One line: images a second, the ratios' medians and range, page faults."""
    wall_2P, process_2P = (
        np.array([[getattr(cost, what) for cost in side] for side in costs])
        for what in ("wall_s", "process_s")
    )
    rates = [images / float(np.median(seconds_P)) for seconds_P in wall_2P]
    ratios = [times_2P[1] / times_2P[0] for times_2P in (wall_2P, process_2P)]
    spread = f"{ratios[0].min():.2f}…{ratios[0].max():.2f}"
    faults = "/".join(str(int(np.median([cost.faults for cost in side]))) for side in costs)
    print(
        f"{label:36}{rates[0]:7.1f}{rates[1]:7.1f}{np.median(ratios[0]):7.2f}"
        f"{np.median(ratios[1]):8.2f}  {spread:11}{goal:>6}  {faults}",
        flush=True,
    )


def supernet_of(plain: PlainAutoFormer) -> Supernet:
    """Ours with its weights, by way of a file in the public format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.pth"
        torch.save({"model": plain.state_dict()}, path)
        weights = read_weights(f"autoformer:{path}")
    declared = fitting_space(weights)
    assert declared is not None
    side = int(plain.pos_embed.shape[1] ** 0.5) * plain.patch_embed_super["proj"].kernel_size[0]
    space = SearchSpace(declared | {"image_size": [side, side], "channels": 3}, all_cards())
    supernet = Supernet(space, plain.head.out_features)
    standard = (IMAGENET_MEAN, IMAGENET_STD)
    images = Images(torch.zeros(1, 3, side, side), torch.zeros(1, dtype=torch.int64), standard)
    initialise(supernet, weights, images)
    return supernet.train()


def with_default_position(supernet: Supernet) -> Supernet:
    """The same sizes with our default: a depth-wise 3×3 behind the first block, no class token."""
    space = supernet.space.to_dict() | {
        "position": ["peg"],
        "special_tokens": 0,
        "joint_qkv_bias": False,
    }
    return Supernet(SearchSpace(space, all_cards()), supernet.num_classes).train()


def ours(
    supernet: Supernet,
    members: Sequence[Architecture],
    *,
    dtype: torch.dtype | None = None,
    frozen: bool = False,
) -> Side:
    """Members of a supernet of ours, in fp32 or under autocast, to learn or to be evaluated."""
    bound = [supernet.member(member) for member in members]
    forwards: tuple[Forward, ...] = tuple(m.frozen() if frozen else m for m in bound)
    if dtype is None:
        return Side(supernet, forwards)
    return Side(supernet, forwards, partial(torch.autocast, "cpu", dtype=dtype))


def theirs(plain: PlainAutoFormer, members: Sequence[Architecture]) -> Side:
    """The same members in the straightforward formulation."""
    return Side(plain, tuple(partial(_call, plain, Member.of(member)) for member in members))


def _call(model: nn.Module, member: Any, images_BCHW: Tensor) -> Tensor:
    logits_BK: Tensor = model(images_BCHW, member)
    return logits_BK


@torch.no_grad()
def difference(left: Side, right: Side, images_BCHW: Tensor) -> float:
    """The largest between logits of both sides."""
    pairs = zip(left.forwards, right.forwards, strict=True)
    return max(float((a(images_BCHW) - b(images_BCHW)).abs().max()) for a, b in pairs)


def main() -> None:
    """Check, time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=int, default=NETS, help="random subnets")
    parser.add_argument("--scale", type=float, default=ROUNDS, help="rounds of A B B A a subnet")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--evaluation", action="store_true", help="leave out training")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_large_blocks()  # as our training and our workers do; it holds for both sides
    torch.manual_seed(0)
    plain = PlainAutoFormer(classes=CLASSES)
    relative = supernet_of(plain)
    default = with_default_position(relative)
    rows = relative.space.sample_genes(np.random.default_rng(0), asked.nets)
    same = [relative.space.decode(row) for row in rows]
    others = [default.space.decode(row) for row in rows]
    assert [Member.of(member) for member in same] == [Member.of(member) for member in others]
    images_BCHW = torch.randn(asked.batch, 3, SIDE, SIDE)
    batch = (images_BCHW, torch.randint(CLASSES, (asked.batch,)))

    learning, evaluated = ours(relative, same), ours(relative, same, frozen=True)
    far = max(
        difference(learning, theirs(plain, same), images_BCHW[:2]),
        difference(evaluated, theirs(plain, same), images_BCHW),
    )
    print(f"same weights, {asked.nets} subnets: logits differ by at most {far:.1e}")
    if not far < TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE:.0e}: the sides compute different things")

    rounds = max(round(asked.scale), 1)
    print(f"batch {asked.batch}, {asked.threads} thread(s), {2 * rounds * asked.nets} pairs a line")
    print(
        f"{'':36}{'images/s':>14}{'ratio of':>15}\n"
        f"{'left / right':36}{'left':>7}{'right':>7}{'wall':>7}{'process':>8}"
        f"  {'range':11}{'goal':>6}  page faults"
    )

    def line(label: str, left: Side, right: Side, train: bool, goal: str = "") -> None:
        if train and asked.evaluation:
            return
        kind = "training" if train else "evaluation"
        costs = compare(left, right, batch, train, rounds)
        show(f"{label}, {kind}", costs, asked.batch, goal)

    line("same maths / plain", learning, theirs(plain, same), True, "1.15")
    line("same maths / plain", evaluated, theirs(plain, same), False)
    learning, evaluated = ours(default, others), ours(default, others, frozen=True)
    line("our position / plain", learning, theirs(plain, same), True, "1.40")
    line("our position / plain", evaluated, theirs(plain, same), False, "1.40")
    if not cpu_has_bf16():
        print("bf16: this processor only emulates it")
        return
    half = partial(ours, dtype=torch.bfloat16)
    line("same maths, bf16 / fp32", half(relative, same), ours(relative, same), True)
    line("our position, bf16 / fp32", half(default, others), learning, True)
    line("our position, bf16 / fp32", half(default, others), evaluated, False)


if __name__ == "__main__":
    main()
