"""What is alive at each kind of kernel, told by the closed forms of two runtimes.

Another runtime runs the same kernels, some of them fused: its peak lies at one of them, and is
there a share of what torch eager or ONNX Runtime holds. So the largest at each kind of kernel, its
*site*, is what a form of another runtime's memory is fitted to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.measurement.onnx_liveness import onnx_live
from search_spaces.workload import Count, Kernel

EAGER, ONNX = "torch_eager", "onnxruntime"
ANY = "any"
"""The site that every kernel is at: the runtime's own peak."""


def site(runtime: str, op: str) -> str:
    """Its name in a file."""
    return f"{runtime}/{op}"


def site_elements(kernels: Sequence[Kernel], batch: int) -> Iterator[tuple[str, Count]]:
    """Names of sites and elements alive at them, kernel by kernel, for a whole batch.

    Args:
        kernels: as of ``onnx_peak_live``.
        batch: images.
    """
    for kernel in kernels:
        alive = batch * kernel.live + kernel.scratch
        yield site(EAGER, kernel.op), alive
        yield site(EAGER, ANY), alive
    for kernel, live in onnx_live(kernels):
        yield site(ONNX, kernel.op), batch * live
        yield site(ONNX, ANY), batch * live
