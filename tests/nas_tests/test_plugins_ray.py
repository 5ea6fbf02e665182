"""Ray and a user's own attention type, through the command line: the values are the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nas_tests.tiny_run import command, lines, trials

pytestmark = pytest.mark.ray

PLUGIN = '''
"""Every token adds the mean of all tokens' values to its own."""

from torch.nn import functional as F

from search_spaces.card import AttentionCard
from search_spaces.workload import elementwise, linear
from supernet.attention import ATTENTIONS
from supernet.operators import Attention


def _kernels(sizes, setting, wants):
    n, inner = sizes.all_tokens, sizes.inner
    return [
        linear(n, sizes.width, inner, live=n * (sizes.width + inner)),
        elementwise("reduce", n * inner, live=n * (sizes.width + inner)),
        linear(n, inner, sizes.width, live=2 * n * (sizes.width + inner)),
    ]


@ATTENTIONS.register
class Neighbourly(Attention):
    """A mixer of one line."""

    card = AttentionCard(
        name="neighbourly",
        summary="adds the mean of all values",
        kernels=_kernels,
        family="linear",
        shared=("v", "o"),
    )

    def forward(self, y_BND, state, w, setting, sizes, wants):
        v_BNI = F.linear(y_BND, w["v_weight"], w["v_bias"])
        return F.linear(v_BNI + v_BNI.mean(1, keepdim=True), w["o_weight"], w["o_bias"]), None
'''
SPACE = (
    "space.stages=[{width: [16], depth: [1, 2], heads: [1, 2], mlp_ratio: [1], "
    "attention: [softmax, neighbourly], reduction: [none, {op: tome, keep: [0.5]}]}]"
)
ROOT = Path(__file__).resolve().parents[2]
ENTRY = [sys.executable, "-P", "-c", "import sys; from nas.cli import main; sys.exit(main())"]


def formfinder(cwd: Path, *words: str) -> str:
    environment = {
        **os.environ,
        "FORMFINDER_PLUGINS": "plugins",  # relative: workers run elsewhere
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [*ENTRY, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def values(folder: Path) -> dict[str, float]:
    """Accuracy on val by architecture."""
    rows = lines(folder / "evaluations.jsonl")
    return {r["architecture"]: r["value"] for r in rows if r["split"].startswith("val:")}


def test_a_plug_in_reaches_the_workers_and_values_do_not_depend_on_them(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "neighbourly.py").write_text(PLUGIN)
    for name in ("nas", "conf", "supernet"):  # the user's own folders, beside the command
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not formfinder')\n")
    folder = tmp_path / "runs" / "there"
    words = [*command(folder), SPACE, "executor=ray", "executor.workers=1"]
    formfinder(tmp_path, *words)
    assert trials(folder) == 16
    assert "neighbourly" in (folder / "study.journal").read_text()
    records = (folder / "study.journal").read_text()
    assert '"failed"' not in records

    # The same weights, evaluated in the process itself.
    here = Path(shutil.copytree(folder, tmp_path / "runs" / "here"))
    for name in ("evaluations.jsonl", "study.journal", "front.json", "best.json"):
        (here / name).unlink()
    formfinder(tmp_path, "run", str(here), "executor=in_process")
    there_values, here_values = values(folder), values(here)
    assert len(there_values) > 5
    assert there_values == here_values

    formfinder(tmp_path, "describe", str(here))
