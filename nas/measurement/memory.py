"""Peak memory of a forward pass, counted and measured: in torch eager from the allocator's events.

They are exact and repeatable: unlike the resident set of the process, they show 200 KB, and the
same every time. Other runtimes measure in ways of their own, ``Runtime.peak_memory``.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.hardware.profile import HardwareProfile
    from search_spaces.space import SearchSpace
    from supernet.costs import Liveness, SpaceCosts

RUNTIME = "torch_eager"
_MB = 1e6
_TYPICAL = 64  # random members of a space


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """Memory of one forward pass, in 10^6 bytes.

    Attributes:
        weights_mb: parameters and buffers.
        peak_activation_mb: most bytes alive at a time, input included, weights excluded.
        runtime: where it was measured.
        batch: images of the pass.
    """

    weights_mb: float
    peak_activation_mb: float
    runtime: str
    batch: int

    @property
    def peak_memory_mb(self) -> float:
        """Weights + peak live bytes."""
        return self.weights_mb + self.peak_activation_mb

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the sum included."""
        return asdict(self) | {"peak_memory_mb": self.peak_memory_mb}


def peak_memory_on(profile: HardwareProfile, model: nn.Module, example: Tensor) -> PeakMemory:
    """Weights and peak activations as the profile's runtime needs them.

    Where it cannot tell, those of torch eager on the processor: ``runtime`` names which.
    """
    from nas.runtimes.base import RUNTIMES

    found = RUNTIMES[profile.runtime].peak_memory(model, example, profile)
    return found or measure_peak_memory(model, example)


def costs_on(
    profile: HardwareProfile | None,
    space: SearchSpace,
    num_classes: int,
    fitted: Liveness | None = None,
) -> SpaceCosts:
    """Prices of candidates whose peak memory is what ``peak_memory_on`` measures.

    What was ``fitted`` to the profile's measurements serves first. The runtime's own closed form
    does where half of the space or more can be measured there; else torch eager's, as for several
    profiles at once (None). It is one for all candidates, so that they compare.
    """
    from nas.runtimes.base import RUNTIMES
    from supernet.costs import SpaceCosts

    if fitted is not None:
        return fitted.costs(space, num_classes)

    own = None if profile is None else RUNTIMES[profile.runtime].liveness(profile)
    if own is not None and profile is not None:
        costs = own.costs(space, num_classes)
        members = space.sample_genes(np.random.default_rng(0), _TYPICAL)
        if np.median(costs(members).peak_activation_mb(profile.batch)) >= own.told_from_mb:
            return costs
    return SpaceCosts(space, num_classes)


def measure_peak_memory(model: nn.Module, example: Tensor) -> PeakMemory:
    """Weights and peak activations of ``model`` on images ``example`` (B, C, H, W)."""
    return PeakMemory(
        weights_mb=weights_mb(model),
        peak_activation_mb=measure_peak_activation_mb(model, example),
        runtime=RUNTIME,
        batch=len(example),
    )


def weights_mb(model: nn.Module) -> float:
    """Parameters and buffers in 10^6 bytes; what is tied counts once."""
    held = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return sum(tensor.numel() * tensor.element_size() for tensor in held.values()) / _MB


def measure_peak_activation_mb(model: nn.Module, example: Tensor) -> float:
    """Peak live bytes of one forward pass in torch eager on the processor, in 10^6 bytes.

    Counted are the input and everything torch's allocator hands out during the pass, from which
    what is freed again is subtracted at once. Memory that existed before (weights, other
    tensors) is not counted, nor is its release. Scratch space inside a matrix product, which
    does not come from torch's allocator, is invisible. It runs on one thread, as each more would
    have blocks of its own, and the number would depend on the machine.

    Args:
        model: maps images to logits; run in eval mode.
        example: images (B, C, H, W).
    """
    return peak_of_calls_mb(model.eval(), example)


def peak_of_calls_mb(call: Callable[[Tensor], Any], example: Tensor) -> float:
    """The same of whatever maps images to logits with tensors of torch's allocator."""
    import torch
    from torch.autograd import profiler

    # Otherwise the profiler's library prints about the GPUs it looks for.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    collecting, threads = gc.isenabled(), torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        call(example)  # buffers that are created once, on first use, are not the pass's own
        gc.disable()  # garbage of before must not be freed in the middle
        try:
            # ``torch.profiler.profile`` gives the same events but takes seconds to start.
            with profiler.profile(profile_memory=True, use_kineto=True) as profile:
                logits = call(example)
        finally:
            torch.set_num_threads(threads)
            if collecting:
                gc.enable()
    del logits
    assert profile.kineto_results is not None
    events = _allocations(profile.kineto_results.experimental_event_tree())
    return (example.numel() * example.element_size() + peak_bytes(events)) / _MB


def peak_bytes(events: Iterable[tuple[int, int]]) -> int:
    """Most bytes alive at a time.

    Args:
        events: (address, bytes) in the order of time; negative bytes free the address. A release
            of an address that was never allocated here concerns memory of before: left out.
    """
    live: dict[int, int] = {}
    now = peak = 0
    for address, size in events:
        if size >= 0:
            live[address] = size
            now += size
            peak = max(peak, now)
        else:
            now -= live.pop(address, 0)
    return peak


def _allocations(tree: Iterable[Any]) -> list[tuple[int, int]]:
    """The allocator's events on the processor, in the order of time."""
    found = [event for event in _flatten(tree) if event.name == "[memory]"]
    found.sort(key=lambda event: event.start_time_ns)
    fields = [event.extra_fields for event in found]
    return [(field.ptr, field.alloc_size) for field in fields if field.device.type == "cpu"]


def _flatten(tree: Iterable[Any]) -> Iterator[Any]:
    for event in tree:
        yield event
        yield from _flatten(event.children)
