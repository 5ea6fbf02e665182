"""An attention file in somebody's folder is an attention type everywhere, without another edit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PLUGIN = '''
"""Every token takes the mean of all tokens."""

from torch.nn import functional as F

from search_spaces.card import AttentionCard
from search_spaces.workload import elementwise, linear
from supernet.attention import ATTENTIONS
from supernet.operators import Attention


def _kernels(sizes, setting, wants):
    n = sizes.all_tokens
    return [
        linear(n, sizes.width, sizes.inner, live=n * (sizes.width + sizes.inner)),
        elementwise("reduce", n * sizes.inner, live=n * (sizes.width + sizes.inner)),
        linear(n, sizes.inner, sizes.width, live=2 * n * (sizes.width + sizes.inner)),
    ]


@ATTENTIONS.register
class Average(Attention):
    """Mean of the values, weighted by size, times a share of it."""

    card = AttentionCard(
        name="average_of_all",
        summary="every token takes the mean of all tokens",
        choices={"share": (0.5,)},
        kernels=_kernels,
        family="linear",
        shared=("v", "o"),
    )

    def forward(self, y_BND, state, w, setting, sizes, wants):
        size_BN1 = state.sizes_BN1()
        v_BNI = F.linear(y_BND, w["v_weight"], w["v_bias"])
        mean_B1I = (v_BNI * size_BN1).sum(1, keepdim=True) / size_BN1.sum(1, keepdim=True)
        mixed_BNI = v_BNI + setting["share"] * mean_B1I
        return F.linear(mixed_BNI, w["o_weight"], w["o_bias"]), None
'''

USE = """
import numpy as np, torch
from search_spaces.space import SearchSpace
from supernet.attention import ATTENTIONS
from supernet.model import Supernet
from supernet.operators import all_cards

assert "average_of_all" in ATTENTIONS.names()
stage = {"width": [16], "depth": [2], "heads": [1, 2], "mlp_ratio": [2],
         "attention": ["softmax", "average_of_all"]}
space = SearchSpace({"image_size": 8, "channels": 1, "head_dim": 8, "patch_size": [2],
                     "stages": [stage]}, all_cards())
assert "average_of_all(share=0.5)" in space.genes[space.layout.layer_start(0, 0)].choices
largest = space.largest(attention="average_of_all(share=0.5)")
logits = Supernet(space, 3)(torch.randn(2, 1, 8, 8), largest)
assert logits.shape == (2, 3) and torch.isfinite(logits).all()

import nas.cli
nas.cli.main(["list", "attention"])
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has one plug-in folder."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "average.py").write_text(PLUGIN, encoding="utf-8")
    return {**os.environ, "FORMFINDER_PLUGINS": str(folder), "PYTHONPATH": str(ROOT)}


def run(environment: dict[str, str], *arguments: str) -> str:
    """Standard output of a Python process in the repository."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_is_in_the_space_the_supernet_and_the_list(environment: dict[str, str]) -> None:
    assert "average_of_all" in run(environment, "-c", USE)


@pytest.mark.slow
def test_it_passes_the_contract_suite(environment: dict[str, str]) -> None:
    options = ("-q", "-k", "average_of_all and not onnx", "-p", "no:cacheprovider")

    report = run(environment, "-m", "pytest", "tests/contracts", *options)

    # At each of four places, in every test that goes case by case.
    assert int(report.strip().splitlines()[-1].split(" passed")[0]) > 20, report
