"""The command runtime against real processes: the example script, and commands that misbehave."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.hardware.device import DEVICES, check_profile
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.block import Session
from nas.measurement.file import MeasurementFile
from nas.measurement.protocol import measure_models
from nas.measurement.slot import Plan
from nas.runtimes import command
from nas.runtimes.base import RUNTIMES, UnsupportedModelError
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import architecture
from tests.nas_tests.test_runtimes import TinyNet

ROOT = Path(__file__).resolve().parents[2]
BENCH = f"{sys.executable} {ROOT}/examples/bench_onnx.py"
PLAN = Plan(max_runs=3, min_runs=3, reference_runs=2)
IMAGES = torch.randn(1, 1, 8, 8)

Script = Callable[[str], str]


def profile(text: str, **changes: object) -> HardwareProfile:
    config = HardwareConfig(device="command", runtime="command", command=text)
    return replace(HardwareProfile.of("pi", config, (8, 8), 1), **changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WAITS_S", (0.0, 0.0))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A command that runs Python text, with a folder ``here`` and the arguments in ``args``."""

    def make(text: str) -> str:
        path = tmp_path / "device.py"
        head = "import json, os, signal, sys, time\nfrom pathlib import Path\n"
        head += f"here, args = Path({str(tmp_path)!r}), sys.argv[1:]\n"
        path.write_text(head + text)
        # Without ``site`` an interpreter starts in a tenth of the time.
        return f"{sys.executable} -S -E {shlex.quote(str(path))} {{model}} {{runs}}"

    return make


def nets(count: int) -> list[tuple[Architecture, Callable[[], nn.Module]]]:
    return [(architecture(16 * (k + 1), (1, 1)), TinyNet) for k in range(count)]


def prepare(text: str, **changes: object) -> None:
    wanted = profile(text, **changes)
    RUNTIMES["command"].prepare(TinyNet(), IMAGES, wanted).close()


def test_the_example_script_measures_and_computes_what_torch_does() -> None:
    model = TinyNet()
    text = f"{BENCH} {{model}} {{runs}} {{threads}} {{images}}"
    with RUNTIMES["command"].prepare(model, IMAGES, profile(text)) as prepared:
        with torch.inference_mode():
            torch.testing.assert_close(
                torch.from_numpy(prepared.output()), model(IMAGES), atol=1e-4, rtol=0
            )
        found = prepared.durations_ms(5)
    assert len(found) == 5
    assert min(found) > 0


def test_a_command_without_a_model_s_path_reads_it_from_its_input() -> None:
    with RUNTIMES["command"].prepare(TinyNet(), IMAGES, profile(f"{BENCH} - {{runs}}")) as prepared:
        assert len(prepared.durations_ms(2)) == 2


def test_a_model_the_device_refuses_is_recorded_with_the_reason(tmp_path: Path) -> None:
    """By the example script: ONNX Runtime there finds the file damaged."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(UnsupportedModelError, match=r"command: .*ModelProto|protobuf"):
        prepare(f"{BENCH} {broken} {{runs}}")


def test_only_the_model_it_refuses_is_left_out(script: Script, tmp_path: Path) -> None:
    text = script(
        "size = os.path.getsize(args[0])\n"
        "print('Welcome to your board!')\n"
        "if size == int((here / 'bad').read_text()):\n"
        "    print(json.dumps({'unsupported': 'no kernel for\\nGelu'}))\n"
        "else:\n"
        "    print(json.dumps({'latencies_ms': [2.0] * int(args[1])}))\n"
    )
    wanted = profile(text)
    content = RUNTIMES["command"].export(TinyNet(), IMAGES, "fp32")  # type: ignore[attr-defined]
    (tmp_path / "bad").write_text(str(len(content)))
    odd = TinyNet()
    odd.head = nn.Linear(8, 3)
    items = [(architecture(16, (1, 1)), lambda: odd), *nets(2)[1:]]
    rows = measure_models(items, wanted, tmp_path / "rows.jsonl", plan=PLAN)
    assert [row.digest for row in rows] == [architecture(16, (1, 1)).digest()]
    assert rows[0].clock == "device"
    assert rows[0].latency_ms == pytest.approx(2.0)
    (failure,) = MeasurementFile(tmp_path / "rows.jsonl", wanted.key()).failures()
    assert failure.reason == "command: no kernel for Gelu"


def test_rubbish_is_shown_in_one_line(script: Script) -> None:
    with pytest.raises(UserError, match=r"hardware\.pi\.command: .*latencies_ms.*Segm") as caught:
        prepare(script("print('Segmentation\\nfault')"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [{"latencies_ms": []}, {"latencies_ms": ["1"]}, {"latencies_ms": 2.0}]
)
def test_json_that_is_no_answer_is_rubbish_too(script: Script, answer: object) -> None:
    with pytest.raises(UserError, match="wanted is a line of JSON"):
        prepare(script(f"print({json.dumps(answer)!r})"))


def test_a_device_that_is_lost_stops_with_the_way_to_go_on(script: Script) -> None:
    text = script("sys.exit('ssh: connect to host pi port 22: No route to host')")
    with pytest.raises(UserError, match=r"pi.command: the device is lost, 4 calls.*No route") as e:
        prepare(text)
    assert "the same command goes on from there" in str(e.value)


def test_a_call_that_is_killed_in_the_middle_is_made_again(script: Script, tmp_path: Path) -> None:
    text = script(
        "count = here / 'calls'\n"
        "calls = len(count.read_text()) if count.exists() else 0\n"
        "count.write_text('x' * (calls + 1))\n"
        "if calls in (1, 2, 4):\n"
        "    print('{\"latencies_ms\": [1.0', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "print(json.dumps({'latencies_ms': [1.0] * int(args[1])}))\n"
    )
    rows = measure_models(nets(1), profile(text), tmp_path / "rows.jsonl", plan=PLAN)
    assert [row.latency_ms for row in rows] == [1.0]


def test_a_command_that_hangs_is_killed_with_all_it_has_started(
    script: Script, tmp_path: Path
) -> None:
    """Its child holds the pipe open, as the ssh of a script would."""
    os.mkfifo(tmp_path / "never")
    text = script(
        "child = os.fork()\n"
        "if child: (here / 'child').write_text(str(child))\n"
        "open(here / 'never').read()\n"
    )
    with pytest.raises(UserError, match=r"no answer within 0\.3 s"):
        prepare(text, timeout_s=0.3)
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_model_that_crashes_the_device_does_not_stop_the_others(
    script: Script, tmp_path: Path
) -> None:
    text = script(
        "if os.path.getsize(args[0]) == int((here / 'bad').read_text()):\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
        "print(json.dumps({'latencies_ms': [1.0] * int(args[1])}))\n"
    )
    content = RUNTIMES["command"].export(TinyNet(), IMAGES, "fp32")  # type: ignore[attr-defined]
    (tmp_path / "bad").write_text(str(len(content)))
    with pytest.raises(UnsupportedModelError, match=r"3 calls: killed by SIGSEGV; other models"):
        prepare(text)


@pytest.mark.slow
def test_what_was_measured_before_a_loss_is_kept_and_continued(
    script: Script, tmp_path: Path
) -> None:
    """Blocks of four: the loss in the second costs no row of the first."""
    text = script(
        "lost = here / 'lost'\n"
        "count = here / 'calls'\n"
        "calls = len(count.read_text()) if count.exists() else 0\n"
        "count.write_text('x' * (calls + 1))\n"
        "if calls > 24 and not (here / 'back').exists(): sys.exit(255)\n"
        "print(json.dumps({'latencies_ms': [1.0] * int(args[1])}))\n"
    )
    path = tmp_path / "rows.jsonl"
    with pytest.raises(UserError, match="the device is lost"):
        measure_models(nets(6), profile(text), path, plan=PLAN)
    assert len(MeasurementFile(path, profile(text).key()).measurements()) == 4
    (tmp_path / "back").touch()
    assert len(measure_models(nets(6), profile(text), path, plan=PLAN)) == 6


def test_a_model_costs_five_calls(script: Script, tmp_path: Path) -> None:
    text = script(
        "with (here / 'calls').open('a') as log: log.write(args[1] + ' ')\n"
        "print(json.dumps({'latencies_ms': [1.0] * int(args[1])}))\n"
    )
    with Session(profile(text), RUNTIMES["command"], PLAN, seed=0) as session:
        session.measure(nets(1))
    # The reference and the model are tried; then twice a series with one of the reference.
    assert (tmp_path / "calls").read_text().split() == ["1", "1", "3", "2", "3", "2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": None}, r"hardware\.pi\.command=None: allowed is a command line"),
        ({"command": "ssh pi 'bench"}, "No closing quotation"),
        ({"command": " "}, "allowed is a command line"),
        ({"command": "bench {modle}"}, r"'modle' is unknown; did you mean 'model'\?"),
        ({"describe": "'"}, r"hardware\.pi\.describe="),
        ({"precision": "int9"}, "did you mean 'int8'"),
    ],
)
def test_bad_commands_are_refused_before_any_is_called(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_profile(profile("bench {model}", **changes))


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match=r"pi\.command: cannot start 'sssh': No such file"):
        prepare("sssh pi bench {model}")


def test_the_device_is_described_by_a_command_of_its_own() -> None:
    wanted = profile(BENCH, describe=f"{BENCH} --describe")
    machine = DEVICES["command"].machine_for(wanted)
    assert machine.versions["onnxruntime"]
    assert machine.cores == os.cpu_count()
    plain = DEVICES["command"].machine_for(profile("ssh pi bench"))
    assert plain.processor == "pi, behind: ssh pi bench"
    assert not plain.same_as(machine)


def test_rows_of_two_devices_behind_commands_never_share_a_key() -> None:
    """How one is reached may change, which one it is may not."""
    pi = profile("ssh pi bench")
    assert replace(pi, name="jetson").key() != pi.key()
    assert replace(pi, command="ssh 10.0.0.7 bench", timeout_s=5.0).key() == pi.key()
    assert HardwareProfile.from_dict(pi.to_dict()) == pi
    assert "command" not in replace(pi, command=None).to_dict()
