"""The criterion by which As-ViT grows its nets: the sum of two ranks (#92, section 4)."""

from __future__ import annotations

from nas.proxies.proxy import PROXIES, Combination


@PROXIES.register
class AsVitRank(Combination):
    """Much length distortion and a small NTK condition number."""

    name = "asvit_rank"
    label = "As-ViT rank"
    summary = "mean rank of length_distortion and ntk_condition"
    source = "As-ViT (#92), section 4"
    members = ("length_distortion", "ntk_condition")
