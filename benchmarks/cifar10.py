"""CIFAR-10 on a CPU: what the search found against a hand-made net of the same measured latency.

    uv run python benchmarks/cifar10.py IMAGES [--minutes 10] [--seeds 3] [--out runs]

IMAGES holds ``train/CLASS/*`` and ``test/CLASS/*``. First ``experiment=cifar10_cpu`` is run, unless
its folder is there. Then

(a) the found architecture and a DeiT-like net whose measured latency is nearest to it are trained
    alone, from scratch, for the same processor time with the same recipe. Learning rates, and the
    rival's patch size, are chosen on val by trainings of a quarter of that time.
(b) the experiment's own exported model is held against that net trained for the processor time of
    the whole experiment.

Time is processor time of one thread, so that a busy machine changes no budget (it still does less
in it than an idle one). The test images are looked at once per trained net. What was trained is
kept in the experiment's folder, ``trainings.jsonl``: the same command goes on from there.
"""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from nas.cli import main as formfinder
from nas.config import load_config
from nas.device import keep_large_blocks
from nas.evaluator import hits
from nas.export.best import read_best
from nas.measurement.protocol import measure_models
from nas.retraining.options import AloneOptions
from nas.retraining.session import training_data, val_judge
from nas.retraining.trainer import AloneTrainer
from nas.run import Run
from nas.run_folder import read_json, write_json
from nas.version import code_version
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.extract import build_model

LRS = (1e-3, 2e-3, 4e-3)
DEPTHS, WIDTHS, PATCHES = range(1, 9), (32, 64, 96, 128, 160), (4, 8)
NEAR = 0.1
"""A rival's latency may differ from the found net's by this share."""


class Timed(AloneTrainer):
    """Ends with a processor time instead of a number of epochs; the schedule follows the clock."""

    def train(self, seconds: float) -> int:
        """Train for so long; puts the averaged weights into the model and returns the steps."""
        self._seconds, self._began, self._done = seconds, time.process_time(), 0
        epoch = 0
        try:
            while True:
                self._epoch(epoch)
                epoch += 1
        except _OutOfTime:
            self.model.load_state_dict(self.average.state_dict())
        return self._done

    @property
    def steps(self) -> int:
        """How many the time will do, at the speed so far."""
        spent = time.process_time() - self._began
        return round(self._done * self._seconds / spent) if self._done else sys.maxsize

    def step(self, step: int, images_BCHW: torch.Tensor, targets: torch.Tensor) -> None:
        """One step, unless time is up."""
        if time.process_time() - self._began >= self._seconds:
            raise _OutOfTime
        super().step(step, images_BCHW, targets)
        self._done += 1


class _OutOfTime(Exception):  # noqa: N818
    pass


@dataclass(frozen=True)
class Result:
    """One training."""

    val: float
    test: float | None
    steps: int


def trained(
    run: Run, net: Architecture, lr: float, seconds: float, seed: int, test: bool
) -> Result:
    """Train a net from scratch for so many seconds of processor time, unless that was done."""
    path = run.folder.path / "trainings.jsonl"
    asked = {"net": net.digest(), "lr": lr, "seconds": round(seconds, 1), "seed": seed}
    lines = path.read_text().splitlines() if path.exists() else []
    for row in map(json.loads, lines):
        if asked.items() <= row.items():
            return Result(row["val"], row["test"], row["steps"])
    made = _train(run, net, lr, seconds, seed, test)
    with path.open("a") as file:
        file.write(json.dumps(asked | vars_of(made) | {"code_version": code_version()}) + "\n")
    return made


def _train(run: Run, net: Architecture, lr: float, seconds: float, seed: int, test: bool) -> Result:
    torch.manual_seed(seed)
    training = run.config.training
    options = AloneOptions(
        epochs=1,
        batch_size=training.batch_size,
        lr=lr,
        weight_decay=training.weight_decay,
        label_smoothing=training.label_smoothing,
        grad_clip=training.grad_clip,
        ema_decay=0.99,
        seed=seed,
        place=21,
    )
    model, judge = build_model(net, run.num_classes), val_judge(run, torch.device("cpu"))
    data = training_data(run, training.augmentation)
    steps = Timed(model, data, run.task, options, judge).train(seconds)
    return Result(judge(model), tested(run, model) if test else None, steps)


def tested(run: Run, model: nn.Module) -> float:
    """Accuracy on the test images."""
    split = run.dataset.open_test(f"{id(model)}-{time.monotonic_ns()}")
    images = run.dataset.transform.normalise(split.images_NCHW)
    return float(hits(model.eval(), images, split.labels_N).double().mean())


def deit_like(found: Architecture, patch: int, depth: int, width: int) -> Architecture:
    """Every layer alike: softmax, heads of 32, MLP ratio 4, a learned position table."""
    block = Block(
        attention=OpSetting("softmax"), heads=width // 32, head_dim=32, mlp_hidden=4 * width
    )
    return Architecture(
        image_size=found.image_size,
        channels=found.channels,
        patch_size=patch,
        position=OpSetting("table"),
        stages=(Stage(width=width, blocks=(block,) * depth),),
    )


def rivals(run: Run, found: Architecture, scratch: Path) -> tuple[float, list[tuple]]:
    """The found net's latency, and per patch size the nearest rival, measured together."""
    grid = [deit_like(found, p, d, w) for p in PATCHES for d in DEPTHS for w in WIDTHS]

    def fresh(net: Architecture) -> nn.Module:
        return build_model(net, run.num_classes).eval()

    nets = [(net, partial(fresh, net)) for net in (found, *grid)]
    rows = measure_models(nets, run.profile, scratch, seed=0)
    latency = {Architecture.from_dict(r.architecture).digest(): r.latency_ms for r in rows}
    target = latency[found.digest()]
    nearest = []
    for patch in PATCHES:
        own = [net for net in grid if net.patch_size == patch]
        net = min(own, key=lambda n: abs(latency[n.digest()] - target))
        nearest.append((net, latency[net.digest()]))
    near = [pair for pair in nearest if abs(pair[1] / target - 1) <= NEAR]
    return target, near or [min(nearest, key=lambda pair: abs(pair[1] - target))]


def chosen(run: Run, nets: list[Architecture], seconds: float) -> tuple[Architecture, float]:
    """Net and learning rate that are best on val."""
    scores = {}
    for net in nets:
        for lr in LRS:
            scores[net, lr] = trained(run, net, lr, seconds, seed=1000, test=False).val
            print(f"  {named(net)}, learning rate {lr:g}: val {scores[net, lr]:.4f}", flush=True)
    return max(scores, key=scores.__getitem__)


def named(net: Architecture) -> str:
    """What a reader needs to know of a net."""
    stage = net.stages[0]
    return f"{net.digest()[:6]} (patch {net.patch_size}, {net.depth} layers of {stage.width})"


def experiment(images: Path, out: Path, more: list[str]) -> tuple[Path, float]:
    """The run's folder, and the processor seconds it took."""
    folder = out / "cifar10_cpu"
    note = folder / "processor_seconds.json"
    if not note.exists():
        before = spent()
        words = ["run", "experiment=cifar10_cpu", f"data.path={images}", f"out_dir={out}"]
        if formfinder([*words, "progress=false", *more]):
            sys.exit(2)
        write_json(note, {"seconds": spent() - before})
    return folder, float(read_json(note)["seconds"])


def spent() -> float:
    """Processor seconds of this process and of those it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Run both comparisons and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training in (a)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--keys", nargs="*", default=[], help="other keys of the experiment")
    parser.add_argument("--skip-b", action="store_true", help="leave out the whole experiment's")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_blocks()
    folder, whole = experiment(args.images, args.out, args.keys)
    config = load_config(folder / "config.yaml")
    config.out_dir, config.name = str(folder.parent), folder.name
    run, best = Run(config, write=False), read_best(folder / "best.json")
    found, seconds = Architecture.from_dict(best["architecture"]), 60 * args.minutes
    target, near = rivals(run, found, folder / "profiles" / "cifar10.jsonl")
    print(f"experiment: {whole / 60:.1f} core-minutes; found {named(found)}, {target:.3f} ms")
    for net, latency in near:
        print(f"rival: {named(net)}, {latency:.3f} ms ({latency / target - 1:+.1%})")
    _, lr = chosen(run, [found], seconds / 4)
    rival, rival_lr = chosen(run, [net for net, _ in near], seconds / 4)
    pairs = []
    for seed in range(args.seeds):
        mine = trained(run, found, lr, seconds, seed, test=True)
        theirs = trained(run, rival, rival_lr, seconds, seed, test=True)
        pairs.append((mine, theirs))
        print(f"  seed {seed}: {mine} {theirs}", flush=True)
    gains = [100 * (mine.test - theirs.test) for mine, theirs in pairs]
    spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
    print(
        f"(a) {args.minutes:g} core-minutes each, {args.seeds} seeds: found "
        f"{statistics.mean(m.test for m, _ in pairs):.4f}, rival "
        f"{statistics.mean(t.test for _, t in pairs):.4f}: {statistics.mean(gains):+.2f} points "
        f"(deviation of a seed {spread:.2f})"
    )
    record = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "code_version": code_version(),
        "experiment_seconds": whole,
        "latency_ms": target,
        "rival": rival.to_dict(),
        "lr": [lr, rival_lr],
        "seeds": [[vars_of(one) for one in pair] for pair in pairs],
    }
    if not args.skip_b:
        exported = best["metrics"]["test_accuracy"]["value"]
        alone = trained(run, rival, rival_lr, whole, 0, test=True)
        print(
            f"(b) exported {exported:.4f}, rival after {whole / 60:.1f} core-minutes "
            f"{alone.test:.4f}: {100 * (exported - alone.test):+.2f} points"
        )
        record |= {"exported": exported, "alone": vars_of(alone)}
    write_json(folder / "benchmark.json", record)
    print(json.dumps(record["seeds"]))


def vars_of(result: Result) -> dict:
    """Plain data."""
    return {"val": result.val, "test": result.test, "steps": result.steps}


if __name__ == "__main__":
    main()
