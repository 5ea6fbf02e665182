"""Peak memory of a forward pass in ONNX Runtime: growth of a fresh process's resident set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nas.measurement.fresh_process import activation_mb

CLAIMED_MB = 4.0  # below it pages and the library's own buffers are no longer small beside it


def onnx_activation_mb(
    content: bytes, images: npt.NDArray[np.float32], threads: int
) -> float | None:
    """Peak bytes of one warm forward pass; arguments and unit as of ``activation_mb``.

    The session runs without its arena, so that a tensor takes memory from when it is computed
    until after its last use. A product's scratch space is counted, unlike in torch.

    Returns:
        None below ``CLAIMED_MB``, and where the system does not tell.
    """
    found_mb = activation_mb("onnxruntime", content, images, threads)
    return found_mb if found_mb is not None and found_mb >= CLAIMED_MB else None
