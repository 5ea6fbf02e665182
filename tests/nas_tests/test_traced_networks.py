"""Traced networks: what torch runs of a module, in amp and compiled, image by image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.hardware import estimate, trace
from nas.hardware.described import described
from nas.roofline.kernels import price, traffic
from nas.roofline.lowering import Lowered
from nas.roofline.setting import Setting

GPU = Setting(spec=described("rtx4090").spec, precision="fp32", batch=4)


class Of(nn.Module):
    """A module of a function."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def kernels(module: nn.Module, amp=False, compiled=False, turned=False, kind="gpu"):
    work = trace(module.eval(), (8, 8)).under(amp, compiled, kind, turned)
    return list(work.kernels)


def ops(module: nn.Module, **how) -> list[str]:
    return [kernel.op for kernel in kernels(module, **how)]


def test_what_does_not_depend_on_the_images_is_done_once_whatever_the_batch() -> None:
    table = nn.Embedding(5, 7)
    index = torch.arange(64) % 5

    def forward(self, x):
        return x.flatten(2).transpose(1, 2) @ self.table.weight[index.to(x.device)][:3]

    gathered, product = kernels(Of(forward, table=table))[-2:]
    assert gathered.fixed
    assert not product.fixed
    one, many = (price(gathered, Setting(spec=GPU.spec, precision="fp32", batch=b)) for b in (1, 9))
    assert one == many
    assert price(product, GPU).macs == 4 * product.macs


def test_a_batch_of_windows_counts_every_image_once() -> None:
    def forward(self, x):
        windows = x.view(-1, 3, 4, 2, 4, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 3)
        return self.linear(windows)

    copy, linear = kernels(Of(forward, linear=nn.Linear(3, 6)))
    assert (copy.op, copy.moved) == ("copy", 2 * 3 * 64)
    assert (linear.m, linear.macs) == (64, 64 * 3 * 6)
    assert traffic(linear, GPU) == (4 * 64 * (3 + 6) + 3 * 6 + 6) * 4


def test_amp_casts_what_products_read_and_sums_with_the_stream_are_wide() -> None:
    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        return x + self.linear(self.norm(x))

    module = Of(forward, norm=nn.LayerNorm(3), linear=nn.Linear(3, 3))
    plain, amp = kernels(module), kernels(module, amp=True)
    assert [k.op for k in plain] == ["copy", "norm", "linear", "add"]
    assert [k.op for k in amp] == ["copy", "norm", "cast", "cast", "cast", "linear", "add"]
    assert amp[-1].moved == 64 * 3 * (2 + 1 + 2)  # in halves: the stream, the product, the sum
    assert amp[-2].moved == 64 * 3 * 2


def test_compiled_the_sum_and_the_norm_behind_it_are_one_kernel() -> None:
    def forward(self, x):
        y = self.first(x)
        x = x + nn.functional.gelu(y) * 2
        return self.second(self.norm(x)) + x

    module = Of(
        forward,
        first=nn.Conv2d(3, 3, 1, bias=False),
        norm=nn.LayerNorm(8),
        second=nn.Linear(8, 8),
    )
    assert ops(module, compiled=True) == ["conv", "norm", "linear", "add"]
    _, norm, _, _ = kernels(module, compiled=True)
    assert norm.moved == 4 * 192  # reads image and product, writes the sum and what it becomes
    assert dict(norm.work)["gelu"] == 192


def test_a_compiled_kernel_is_never_fused_across_a_product_it_waits_for() -> None:
    def forward(self, x):
        y = x.relu()
        return y + self.linear(y)

    assert ops(Of(forward, linear=nn.Linear(8, 8)), compiled=True) == ["relu", "linear", "add"]


def test_a_convolution_of_a_gpu_adds_its_bias_behind_and_may_turn_its_channels() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3))
    assert ops(module) == ["conv", "add"]
    assert ops(module, turned=True) == ["conv", "reorder", "add"]
    assert ops(module, kind="cpu") == ["conv"]
    last = Of(lambda self, x: self.conv(x.contiguous(memory_format=torch.channels_last)))
    last.conv = nn.Conv2d(3, 8, 3)
    assert "reorder" not in ops(last, turned=True)


@pytest.mark.parametrize(
    ("groups", "op", "repeat"), [(1, "conv", 1), (4, "conv", 4), (32, "depthwise", 1)]
)
def test_groups_are_products_of_their_own_and_single_channels_none(groups, op, repeat) -> None:
    module = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, groups=groups, bias=False))
    found = kernels(module, kind="cpu")[-1]
    assert (found.op, found.repeat) == (op, repeat)
    assert found.macs == 36 * 9 * 32 * 32 // groups


def test_norms_of_turned_tokens_copy_them_first() -> None:
    module = Of(lambda self, x: self.norm(x.permute(0, 2, 3, 1)), norm=nn.LayerNorm(3))
    copy, norm = kernels(module)
    assert (copy.op, copy.strided, norm.op) == ("copy", 192, "norm")
    in_order = Of(lambda self, x: self.norm(x), norm=nn.LayerNorm(8))
    assert ops(in_order) == ["norm"]


def test_a_sum_across_the_order_of_elements_costs_more() -> None:
    turned = kernels(Of(lambda self, x: x + x.transpose(2, 3).contiguous().transpose(2, 3)))[-1]
    straight = kernels(Of(lambda self, x: x + x.clone()))[-1]
    assert turned.moved == straight.moved
    assert price(turned, GPU).memory_s > price(straight, GPU).memory_s


def test_fused_attention_reads_and_writes_no_map() -> None:
    def forward(self, x):
        q = x.flatten(2).transpose(1, 2).unsqueeze(1)
        return nn.functional.scaled_dot_product_attention(q, q, q)

    found = kernels(Of(forward))[-1]
    assert (found.op, found.macs) == ("attention", 2 * 64 * 64 * 3)
    assert found.moved == 4 * 64 * 3


def test_tables_that_the_first_pass_makes_are_not_counted() -> None:
    def forward(self, x):
        if not hasattr(self, "table"):
            self.table = torch.zeros(8, device=x.device) + 1
        return x * self.table

    assert ops(Of(forward)) == ["mul"]


@pytest.mark.parametrize(
    "name",
    ["pvt_v2_b0", "convit_tiny", "levit_128s", "efficientvit_m0", "test_vit"],
)
def test_macs_are_those_that_torch_counts(name) -> None:
    import timm

    with torch.device("meta"):
        model = timm.create_model(name).eval()
    side = model.default_cfg["input_size"][-1]
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, side, side, device="meta"))
    found = trace(model, (side, side))
    assert found.macs == counter.get_total_flops() // 2
    assert found.params == sum(parameter.numel() for parameter in model.parameters())
    for amp in (False, True):
        for compiled in (False, True):
            assert found.under(amp, compiled, "gpu").macs == found.macs
            assert all(isinstance(k, Lowered) for k in found.under(amp, compiled, "gpu").kernels)


def test_images_are_as_large_as_a_module_says() -> None:
    import timm

    with torch.device("meta"):
        model = timm.create_model("test_vit").eval()
    assert model.default_cfg["input_size"] == (3, 160, 160)
    assert trace(model).input_elements == 3 * 160 * 160
    assert trace(nn.Flatten()).input_elements == 3 * 224 * 224


def test_compiling_and_half_precision_are_never_slower_for_large_batches() -> None:
    import timm

    with torch.device("meta"):
        work = trace(timm.create_model("pvt_v2_b0"))
    for precision in ("fp32", "amp", "fp16"):
        eager, compiled = (
            estimate(work, "rtx4090", batch=256, precision=precision, compiled=c)
            for c in (False, True)
        )
        assert compiled.latency_ms < eager.latency_ms
    wide, half = (estimate(work, "rtx4090", batch=256, precision=p) for p in ("fp32", "fp16"))
    assert half.latency_ms < wide.latency_ms
