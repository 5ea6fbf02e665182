"""Operators that a runtime turns out not to run: recorded, named, left out of the search."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.measurement.culprits import culprits, failed_ops
from nas.measurement.file import MeasurementFile
from nas.measurement.records import Failure, Measurement
from nas.measurement.slot import Slot
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import architecture
from tests.nas_tests.tiny_run import command

ROOT = Path(__file__).resolve().parents[2]
SLOT = Slot(median_ms=1.0, min_ms=1.0, p90_ms=1.0, iqr_ms=0.0, n=4, attempts=1)


def net(*ops: str) -> Architecture:
    return architecture(heads=[0 if op == "none" else 1 for op in ops], ops=ops)


def failed(*ops: str) -> Failure:
    one = net(*ops)
    return Failure(
        profile="p", digest=one.digest(), architecture=one.to_dict(), reason=f"no {ops}", date=""
    )


def measured(*ops: str) -> Measurement:
    context = {"profile": "p", "reference_ms": 1.0, "reference_level_ms": 1.0, "clock": "wall"}
    made = Measurement.of(net(*ops), [SLOT], [1.0], 1.0, 0.1, date="", machine={}, **context)
    return replace(made)


def test_the_operator_of_failures_that_no_measurement_has_is_named() -> None:
    rows = [measured("softmax", "linear"), measured("softmax", "none")]
    blamed = culprits([failed("softmax", "focused_linear"), failed("focused_linear", "none")], rows)
    assert blamed == {"focused_linear": "no ('softmax', 'focused_linear')"}


@pytest.mark.parametrize("ops", [("softmax", "linear"), ("none", "none"), ("linear", "none")])
def test_what_ran_elsewhere_is_not_blamed(ops: Sequence[str]) -> None:
    assert culprits([failed(*ops)], [measured("softmax", "linear")]) == {}


def test_two_operators_that_only_ever_fail_together_are_both_left_out() -> None:
    assert set(culprits([failed("hilo", "pvt")], [measured("softmax", "none")])) == {"hilo", "pvt"}


def test_where_nothing_runs_no_operator_is_blamed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert failed_ops(path, "p") == {}
    MeasurementFile(path, "p").append([failed("hilo", "none")])
    assert failed_ops(path, "p") == {}
    MeasurementFile(path, "p").append([measured("softmax", "none")])
    assert list(failed_ops(path, "p")) == ["hilo"]
    with pytest.raises(UserError, match="use another file"):
        failed_ops(path, "another")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hardware.cpu.runtime=torch_compil", r"cpu\.runtime='torch_compil'.*'torch_compile'\?"),
        ("hardware.cpu.precision=int8_statc", r"cpu\.precision='int8_statc'.*'int8_static'\?"),
        ("hardware.cpu.runtime=cuda_eager", r"cpu\.device='cpu': allowed is cuda with cuda_eager"),
        ("hardware.cpu.timeout_s=0", r"cpu\.timeout_s=0(\.0)?: allowed is a number above 0"),
        ("hardware=command", r"hardware\.command\.command=None: allowed is a command line"),
        ("hardware=cuda", r"hardware='cuda': torch sees no CUDA device"),
    ],
)
@pytest.mark.parametrize("word", ["run", pytest.param("profile", marks=pytest.mark.slow)])
def test_what_cannot_be_measured_is_refused_before_any_training(
    word: str,
    override: str,
    message: str,
    tmp_path: Path,
    refusal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = refusal(word, override, "executor=in_process", f"out_dir={tmp_path}/runs")
    assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == []


PICKY = """
from nas.runtimes.base import RUNTIMES, UnsupportedModelError
from nas.runtimes.torch_eager import TorchEager

@RUNTIMES.register
class Picky(TorchEager):
    name = "picky"

    def prepare(self, model, example, profile):
        if "window" in str(getattr(model, "architecture", "")):
            raise UnsupportedModelError("no kernel for windows")
        return super().prepare(model, example, profile)
"""


@pytest.mark.slow
def test_a_run_leaves_out_and_names_what_its_runtime_refuses(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "picky.py").write_text(PICKY)
    folder = tmp_path / "runs" / "picky"
    words = command(folder, "hardware.cpu.runtime=picky", "profile.n_runtime=30")
    code = "import sys; from nas.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "FORMFINDER_PLUGINS": str(tmp_path / "plugins")}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "window is left out of the search: no kernel for windows" in done.stdout + done.stderr
    front = json.loads((folder / "front.json").read_text())
    assert front["members"]
    for member in front["members"]:
        assert "window" not in json.dumps(member["architecture"])
