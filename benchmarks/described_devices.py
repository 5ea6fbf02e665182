"""Described devices against published inference tables: Kendall tau, and MAPE after one scale.

    uv run python benchmarks/described_devices.py

No device has a parameter that was fitted to a table. What all devices share (host time of a
kernel, its ramp, how much slower misaligned maps are) and the share of its peak that a device keeps
up were set by hand with these tables in view: they are evidence of the form, not a test. Beside it
stands what MACs alone would say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.stats import kendalltau
from spaces import SPACES

from nas.hardware import estimate, trace
from nas.hardware.described import described
from nas.hardware.profile import HardwareProfile
from nas.roofline.columns import DescribedSpaceCosts
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.workload import Workload, workload

SIZES = {  # width, depth, heads, hidden: ViT (Dosovitskiy et al., 2021, table 1), DeiT, table 1
    "Ti": (192, 12, 3, 768),
    "S": (384, 12, 6, 1536),
    "S8": (768, 8, 8, 2304),  # PaddleClas's ViT_small: 48.6 M parameters
    "B": (768, 12, 12, 3072),
    "L": (1024, 24, 16, 4096),
    "H": (1280, 32, 16, 5120),
}


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name, source: what it is.
        device, precision, compiled, fused: how it was taken.
        rows: (model, batch, published images a second); a model is a plain ViT as ``B/16@384``, or
            the name of one of timm's.
    """

    name: str
    source: str
    device: str
    precision: str
    compiled: bool
    fused: bool
    rows: tuple[tuple[str, int, float], ...]


@cache
def workload_of(name: str) -> Workload:
    """What a model of a table does; those that are no plain ViT are traced as timm builds them."""
    if "/" in name:
        return workload(vit(name), 1000)
    import timm

    model, _, side = name.partition("@")
    size = int(side or 224)
    with torch.device("meta"):
        return trace(timm.create_model(model), (size, size))


def vit(name: str) -> Architecture:
    """``B/16@384`` as an architecture."""
    size, rest = name.split("/")
    patch, image = (int(part) for part in rest.split("@"))
    width, depth, heads, hidden = SIZES[size]
    block = Block(
        attention=OpSetting("softmax"), heads=heads, head_dim=width // heads, mlp_hidden=hidden
    )
    return Architecture(
        image_size=(image, image),
        channels=3,
        patch_size=patch,
        stages=(Stage(width=width, blocks=(block,) * depth),),
        position=OpSetting("table"),
        special_tokens=1,
        pooling="class",
    )


def _ms(rows: Sequence[tuple[str, int, float]]) -> tuple[tuple[str, int, float], ...]:
    """Rows whose figure is milliseconds a batch."""
    return tuple((model, batch, batch / ms * 1e3) for model, batch, ms in rows)


PADDLE = "PaddlePaddle/PaddleClas, docs/zh_CN/models/ViT_and_DeiT.md, section 3"
FT = "NVIDIA/FasterTransformer, docs/vit_guide.md"
HF = "huggingface/transformers, docs/source/en/perf_torch_compile.md (torch 2.0.1)"
BATCHES = (1, 8, 16, 32)


def _by_batch(model: str, *ms: float) -> tuple[tuple[str, int, float], ...]:
    return _ms([(model, batch, t) for batch, t in zip(BATCHES, ms, strict=True)])


FAMILIES = "PaddlePaddle/PaddleClas, docs/zh_CN/models/ImageNet1k (SwinTransformer, Twins)"


def _paddle(model: str, *ms: float) -> tuple[tuple[str, int, float], ...]:
    return _ms([(model, batch, t) for batch, t in zip((1, 4, 8), ms, strict=True)])


def _hf(name: str, device: str, compiled: bool, *ms: float) -> Table:
    rows = _ms([("B/16@224", batch, t) for batch, t in zip((1, 4, 16), ms, strict=True)])
    return Table(f"{name} ViT-B by batch", HF, device, "fp32", compiled, False, rows)


TABLES = (
    Table(
        "V100 fp32",
        "facebookresearch/ToMe, README (off the shelf, SWAG and MAE models; batch not stated)",
        "v100",
        "fp32",
        False,
        False,
        (
            ("S/16@224", 128, 953),
            ("B/16@224", 128, 309),
            ("L/16@224", 128, 93),
            ("L/16@384", 64, 28),
            ("B/16@384", 64, 85.7),
            ("L/16@512", 32, 12.8),
            ("H/14@518", 16, 4.7),
            ("H/14@224", 64, 35),
        ),
    ),
    Table(
        "V100 inference engine fp32",
        PADDLE,
        "v100",
        "fp32",
        True,
        False,
        (
            *_paddle("Ti/16@224", 3.61, 3.94, 6.10),
            *_paddle("S/16@224", 3.61, 6.24, 10.49),
            *_paddle("S8/16@224", 3.71, 9.05, 16.72),
            *_paddle("B/16@224", 6.12, 14.84, 28.51),
            *_paddle("B/16@384", 14.15, 48.38, 95.06),
            *_paddle("B/32@384", 4.94, 13.43, 24.08),
            *_paddle("L/16@224", 15.53, 49.50, 94.09),
            *_paddle("L/16@384", 39.51, 152.46, 304.06),
            *_paddle("L/32@384", 11.44, 36.09, 70.63),
        ),
    ),
    Table(
        "V100 Swin fp32",
        "microsoft/Swin-Transformer, README (batch not stated)",
        "v100",
        "fp32",
        False,
        False,
        (
            ("swin_tiny_patch4_window7_224", 64, 755),
            ("swin_small_patch4_window7_224", 64, 437),
            ("swin_base_patch4_window7_224", 64, 278),
            ("swin_base_patch4_window12_384@384", 64, 85),
            ("swin_large_patch4_window7_224", 64, 141),
            ("swin_large_patch4_window12_384@384", 64, 42),
        ),
    ),
    Table(
        "V100 FocalNet fp32",
        "microsoft/FocalNet, README (batch not stated)",
        "v100",
        "fp32",
        False,
        False,
        (
            ("focalnet_tiny_srf", 128, 743),
            ("focalnet_tiny_lrf", 128, 696),
            ("focalnet_small_srf", 128, 434),
            ("focalnet_small_lrf", 128, 406),
            ("focalnet_base_srf", 128, 280),
            ("focalnet_base_lrf", 128, 269),
        ),
    ),
    Table(
        "V100 EfficientViT fp32",
        "microsoft/Cream, EfficientViT/classification/README.md (its batch norms folded)",
        "v100",
        "fp32",
        False,
        False,
        (
            ("efficientvit_m0", 2048, 27644),
            ("efficientvit_m1", 2048, 20093),
            ("efficientvit_m2", 2048, 18218),
            ("efficientvit_m3", 2048, 16644),
            ("efficientvit_m4", 2048, 15914),
            ("efficientvit_m5", 2048, 10621),
        ),
    ),
    Table(
        "V100 Swin and Twins engine fp32",
        FAMILIES,
        "v100",
        "fp32",
        True,
        False,
        (
            *_paddle("swin_tiny_patch4_window7_224", 6.59, 9.68, 16.32),
            *_paddle("swin_small_patch4_window7_224", 12.54, 17.07, 28.08),
            *_paddle("swin_base_patch4_window7_224", 13.37, 23.53, 39.11),
            *_paddle("swin_base_patch4_window12_384@384", 19.52, 64.56, 123.30),
            *_paddle("swin_large_patch4_window7_224", 15.74, 38.57, 71.49),
            *_paddle("swin_large_patch4_window12_384@384", 32.61, 116.59, 223.23),
            *_paddle("twins_pcpvt_small", 7.32, 10.51, 15.27),
            *_paddle("twins_pcpvt_base", 12.20, 16.22, 23.16),
            *_paddle("twins_pcpvt_large", 16.47, 22.90, 32.73),
            *_paddle("twins_svt_small", 6.94, 9.01, 12.27),
            *_paddle("twins_svt_base", 9.37, 15.02, 24.54),
            *_paddle("twins_svt_large", 11.76, 22.08, 35.12),
        ),
    ),
    Table(
        "A100 Hiera fp16",
        "facebookresearch/hiera, README (without fused attention; batch not stated)",
        "a100",
        "fp16",
        False,
        False,
        (
            ("hiera_tiny_224", 64, 2758),
            ("hiera_small_224", 64, 2211),
            ("hiera_base_224", 64, 1556),
            ("hiera_base_plus_224", 64, 1247),
            ("hiera_large_224", 64, 531),
            ("hiera_huge_224", 64, 274),
        ),
    ),
    Table(
        "V100 mixed precision",
        "facebookresearch/deit, README_revenge.md (DeiT III; taken to be a V100 at batch 256)",
        "v100",
        "amp",
        False,
        False,
        (
            ("S/16@224", 256, 1891),
            ("S/16@384", 256, 424),
            ("B/16@224", 256, 831),
            ("B/16@384", 256, 190),
            ("L/16@224", 256, 277),
            ("L/16@384", 256, 67),
            ("H/14@224", 256, 112),
        ),
    ),
    Table(
        "A100 torch fp32",
        FT,
        "a100",
        "fp32",
        False,
        False,
        _by_batch("B/16@384", 12.38, 74.31, 147.48, 290.7),
    ),
    Table(
        "A100 torch fp16",
        FT,
        "a100",
        "fp16",
        False,
        False,
        _by_batch("B/16@384", 9.58, 30.41, 60.39, 121.17),
    ),
    Table(
        "A100 FasterTransformer fp16",
        FT,
        "a100",
        "fp16",
        True,
        False,
        (
            *_by_batch("B/16@384", 2.24, 11.14, 21.50, 43.81),
            *_by_batch("B/16@224", 1.53, 3.03, 5.30, 10.04),
            *_by_batch("L/16@384", 5.36, 30.95, 60.99, 124.85),
            *_by_batch("L/16@224", 2.97, 8.09, 15.03, 29.66),
        ),
    ),
    Table(
        "T4 FasterTransformer fp16",
        FT,
        "t4",
        "fp16",
        True,
        False,
        (
            *_by_batch("B/16@384", 8.53, 61.07, 123.55, 253.20),
            *_by_batch("B/16@224", 3.43, 14.46, 28.77, 57.22),
            *_by_batch("L/16@384", 23.45, 177.54, 358.70, 748.81),
            *_by_batch("L/16@224", 9.69, 47.55, 90.30, 171.89),
        ),
    ),
    Table(
        "T4 torch fp16",
        FT,
        "t4",
        "fp16",
        False,
        False,
        _by_batch("B/16@384", 18.48, 161.72, 330.52, 684.27),
    ),
    _hf("A100 eager", "a100", False, 9.325, 14.832, 40.944),
    _hf("A100 compiled", "a100", True, 7.584, 14.499, 40.010),
    _hf("V100 eager", "v100", False, 10.495, 15.181, 52.209),
    _hf("V100 compiled", "v100", True, 6.00, 14.501, 51.633),
    _hf("T4 eager", "t4", False, 16.520, 43.653, 163.914),
    _hf("T4 compiled", "t4", True, 15.786, 43.626, 160.907),
)


def estimated(table: Table) -> list[float]:
    """Images a second of the table's rows, estimated."""
    return [
        estimate(
            workload_of(model),
            table.device,
            batch=batch,
            precision=table.precision,
            compiled=table.compiled,
            fused_attention=table.fused,
        ).throughput
        for model, batch, _ in table.rows
    ]


def macs_only(table: Table) -> list[float]:
    """What MACs alone would say: the usual proxy, for comparison."""
    return [1e12 / workload_of(model).macs for model, _, _ in table.rows]


def agreement(found: Sequence[float], true: Sequence[float]) -> tuple[float, float, float]:
    """(tau, MAPE after the best single scale, that scale) of throughputs."""
    ratio = np.sort(np.array(true) / np.array(found))
    errors = [np.mean(np.abs(np.array(found) * r / np.array(true) - 1)) for r in ratio]
    best = int(np.argmin(errors))  # the error is piecewise linear in the scale
    return float(kendalltau(found, true).statistic), float(errors[best]), float(ratio[best])


def rate(name: str, device: str, count: int = 20_000) -> float:
    """Architectures of a space priced a second (latency, energy, memory), repair included."""
    found, space = described(device), SPACES[name]()
    config = found.default()
    profile = HardwareProfile.of(device, config, space.spec.image_size, space.spec.channels)
    costs = DescribedSpaceCosts(space, 10, found.setting(profile))
    genes = space.sample_genes(np.random.default_rng(0), count)
    costs(genes)  # fills the tables
    began = time.process_time()
    priced = costs(genes)
    _ = priced.latency_ms_B, priced.columns, priced.peak_memory_mb()
    return count / (time.process_time() - began)


def main() -> None:
    """Print one line a table, then the rows, then how many architectures are priced a second."""
    columns = f"{'table':<30} {'n':>3} {'tau':>6} {'MAPE':>6} {'scale':>6}   MACs: tau   MAPE"
    print(columns)
    methods: tuple[Callable[[Table], list[float]], ...] = (estimated, macs_only)
    for table in TABLES:
        true = [figure for _, _, figure in table.rows]
        (tau, mape, scale), (tau_m, mape_m, _) = (agreement(m(table), true) for m in methods)
        line = f"{table.name:<30} {len(true):>3} {tau:>6.3f} {mape:>6.1%} {scale:>6.2f}"
        print(f"{line} {tau_m:>11.3f} {mape_m:>6.1%}")
    for table in TABLES:
        print(f"\n{table.name} ({table.source})")
        for (model, batch, true), found in zip(table.rows, estimated(table), strict=True):
            print(f"  {model:<34} batch {batch:>3} {true:>9.1f} published {found:>9.1f} estimated")
    print("\narchitectures a second, in batches of 20,000 (process time)")
    for name in ("digits", "autoformer_t"):
        for device in ("rtx4090", "laptop_x86", "stm32f746"):
            print(f"  {name:<14} {device:<12} {rate(name, device):>10,.0f}")


if __name__ == "__main__":
    main()
