"""Peak memory of a forward pass in OpenVINO: growth of a fresh process's resident set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nas.measurement.fresh_process import activation_mb

CLAIMED_MB = 0.2
"""50 pages: one more or less is small beside it. Nothing but the block of tensors is taken anew, so
that less can be told than of ONNX Runtime."""


def openvino_activation_mb(
    content: bytes, images: npt.NDArray[np.float32], threads: int
) -> float | None:
    """Peak bytes of one forward pass; arguments and unit as of ``activation_mb``.

    OpenVINO lays all tensors into one block when it compiles a model, one above the other where
    they never live at the same time. The block is given up after a first pass and taken anew by a
    second, which has everything else already: compiled kernels and reordered weights.

    Returns:
        None below ``CLAIMED_MB``, and where the system does not tell.
    """
    found_mb = activation_mb("openvino", content, images, threads)
    return found_mb if found_mb is not None and found_mb >= CLAIMED_MB else None
