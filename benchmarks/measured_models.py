"""Inference of timm's vision transformers measured on one core of this processor, as CSV.

    OMP_NUM_THREADS=1 taskset -c 1 uv run python benchmarks/measured_models.py eager OUT.csv
    OMP_NUM_THREADS=1 taskset -c 1 uv run python benchmarks/measured_models.py compiled OUT.csv

fp32, random weights, eval mode, inference mode, the model's own image size. ``eager`` holds all
models and visits them in turn, three rounds; ``compiled`` (``torch.compile``, defaults) takes one
after the other and runs it eagerly in between, so that both figures are of the same minute. A
figure is the best of its visits; the spread is their median over it. `described_host.py` reads
the tables.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from nas.hardware.machine import processor_name

EAGER = (
    *("deit_tiny_patch16_224", "deit_small_patch16_224", "vit_base_patch16_224"),
    *("vit_base_patch32_224", "vit_large_patch16_224", "vit_small_patch16_384"),
    *("deit3_small_patch16_224", "beit_base_patch16_224", "eva02_tiny_patch14_336"),
    *("eva02_small_patch14_336", "cait_xxs24_224", "cait_s24_224", "xcit_tiny_12_p16_224"),
    *("xcit_small_12_p8_224", "swin_tiny_patch4_window7_224", "swin_base_patch4_window7_224"),
    *("swinv2_tiny_window8_256", "swinv2_cr_tiny_224", "twins_pcpvt_small", "twins_svt_base"),
    *("pvt_v2_b0", "pvt_v2_b2", "pvt_v2_b5", "pit_ti_224", "pit_b_224", "tnt_s_patch16_224"),
    *("levit_128s", "levit_384", "convit_tiny", "convit_base", "crossvit_9_240"),
    *("crossvit_18_240", "coat_tiny", "coat_lite_small", "mvitv2_tiny", "mvitv2_base"),
    *("maxvit_tiny_tf_224", "coatnet_0_rw_224", "nest_tiny", "gcvit_xxtiny", "gcvit_tiny"),
    *("davit_tiny", "davit_base", "volo_d1_224", "hiera_tiny_224", "hiera_base_224"),
    *("efficientformer_l1", "efficientformer_l7", "efficientformerv2_s1", "efficientvit_b1"),
    *("efficientvit_l2", "efficientvit_m4", "fastvit_t8", "fastvit_sa24", "mobilevit_s"),
    *("mobilevitv2_100", "mobilevitv2_200", "tiny_vit_5m_224", "tiny_vit_21m_224"),
    *("edgenext_small", "edgenext_base", "poolformer_s12", "sequencer2d_s", "mixer_b16_224"),
    *("focalnet_tiny_srf", "focalnet_base_lrf", "repvit_m1_1", "nextvit_small", "shvit_s3"),
    *("vit_relpos_small_patch16_224", "gmlp_s16_224", "swiftformer_s", "visformer_small"),
)
COMPILED = (
    *("deit_tiny_patch16_224", "vit_base_patch32_224", "deit3_small_patch16_224"),
    *("swin_tiny_patch4_window7_224", "pvt_v2_b0", "pvt_v2_b2", "levit_128s", "pit_ti_224"),
    *("hiera_tiny_224", "xcit_tiny_12_p16_224", "fastvit_t8", "mobilevit_s", "mobilevitv2_100"),
    *("efficientvit_b1", "efficientvit_m4", "tiny_vit_5m_224", "edgenext_small", "repvit_m1_1"),
    *("poolformer_s12", "convit_tiny", "gcvit_xxtiny", "efficientformer_l1", "coat_lite_small"),
    *("mixer_b16_224", "davit_tiny", "mvitv2_tiny", "focalnet_tiny_srf", "twins_svt_base"),
    *("shvit_s3", "crossvit_9_240", "vit_base_patch16_224", "coatnet_0_rw_224"),
)
LIGHT_S = 0.15  # an image; heavier models are measured one image at a time only
ROUNDS, VISIT_S = 3, 0.35
FIELDS = ("model", "side", "batch", "runtime", "ms", "spread", "visits")


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("how", choices=("eager", "compiled"))
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    about = f"# {processor_name()}, 1 core, fp32, torch {torch.__version__}, timm "
    about += f"{timm.__version__}, {date.today().isoformat()}, {options.how}"
    with options.out.open("w", newline="") as file, torch.inference_mode():
        file.write(about + "\n")
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for row in eager(EAGER) if options.how == "eager" else compiled(COMPILED):
            print(row, flush=True)
            writer.writerow(row)
            file.flush()


def eager(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of all models, visited in turn."""
    began = time.perf_counter()
    models = {name: build(name) for name in names}
    print(f"built in {time.perf_counter() - began:.0f} s", flush=True)
    times: dict[tuple[str, int], list[float]] = {}
    for turn in range(ROUNDS):
        for name, (model, side) in models.items():
            one = visit(model, images(1, side))
            times.setdefault((name, 1), []).extend(one)
            if min(times[name, 1]) < LIGHT_S:
                times.setdefault((name, 8), []).extend(visit(model, images(8, side)))
        print(f"round {turn}: {time.perf_counter() - began:.0f} s", flush=True)
    return [row(name, models[name][1], batch, "eager", t) for (name, batch), t in times.items()]


def compiled(names: tuple[str, ...]) -> Any:
    """Rows of one model after the other, compiled and as it is."""
    for name in names:
        began = time.perf_counter()
        torch._dynamo.reset()
        model, side = build(name)
        batch = 8 if min(visit(model, images(1, side))) < LIGHT_S / 2 else 1
        x_BCHW = images(batch, side)
        try:
            quick = torch.compile(model, dynamic=False)
            quick(x_BCHW)
        except Exception as error:  # some models cannot be compiled
            print(f"{name}: {type(error).__name__} {str(error)[:200]}", flush=True)
            continue
        print(f"{name} compiled in {time.perf_counter() - began:.0f} s", flush=True)
        times: dict[str, list[float]] = {"compiled": [], "eager": []}
        for _ in range(ROUNDS):
            times["compiled"] += visit(quick, x_BCHW)
            times["eager"] += visit(model, x_BCHW)
        for runtime, t in times.items():
            yield row(name, side, batch, runtime, t)


def build(name: str) -> tuple[nn.Module, int]:
    """A model with random weights, and the side of its images."""
    model = timm.create_model(name).eval()
    return model, model.default_cfg["input_size"][-1]  # type: ignore[index]


def images(batch: int, side: int) -> Tensor:
    """Noise."""
    return torch.randn(batch, 3, side, side)


def visit(model: Callable[[Tensor], Any], x_BCHW: Tensor) -> list[float]:
    """Seconds of calls in a row, at least two behind the first."""
    model(x_BCHW)
    found: list[float] = []
    while len(found) < 2 or (sum(found) < VISIT_S and len(found) < 20):
        began = time.perf_counter()
        model(x_BCHW)
        found.append(time.perf_counter() - began)
    return found


def row(name: str, side: int, batch: int, runtime: str, seconds: list[float]) -> dict[str, Any]:
    """One line of the table."""
    best = min(seconds)
    spread = statistics.median(seconds) / best - 1
    return {
        "model": name,
        "side": side,
        "batch": batch,
        "runtime": runtime,
        "ms": f"{best * 1e3:.3f}",
        "spread": f"{spread:.3f}",
        "visits": len(seconds),
    }


if __name__ == "__main__":
    main()
