"""Profiles as values, devices as plug-ins."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nas.hardware.device import DEVICES, check_profile, check_settings
from nas.hardware.machine import this_machine
from nas.hardware.profile import HardwareConfig, HardwareProfile
from search_spaces.errors import UserError


def profile(**changes: object) -> HardwareProfile:
    made = HardwareProfile.of("cpu", HardwareConfig(), (16, 24), 3)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"device": "gpu"},
        {"runtime": "torch_eager"},
        {"precision": "int8"},
        {"threads": 2},
        {"batch": 8},
        {"image_size": (24, 16)},
        {"channels": 1},
    ],
)
def test_the_key_tells_every_setting_apart(change: dict[str, object]) -> None:
    assert profile(**change).key() != profile().key()


def test_two_names_for_the_same_settings_share_their_measurements() -> None:
    assert profile(name="laptop").key() == profile().key()
    assert "/" not in profile().key()


def test_a_profile_survives_its_dict() -> None:
    assert HardwareProfile.from_dict(profile().to_dict()) == profile()
    assert profile().input_shape == (1, 3, 16, 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": 0}, r"hardware\.cpu\.threads=0: allowed is a positive integer"),
        ({"batch": True}, r"hardware\.cpu\.batch=True"),
        ({"image_size": (16,)}, r"image_size=\(16,\): allowed is \(height, width\)"),
        ({"image_size": (16, -1)}, "image_size"),
    ],
)
def test_a_setting_out_of_its_domain_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        profile(**change)


def test_a_misspelt_or_missing_field_is_named() -> None:
    data = profile().to_dict()
    with pytest.raises(UserError, match="did you mean 'threads'"):
        HardwareProfile.from_dict(data | {"thread": 1})
    del data["threads"]
    with pytest.raises(UserError, match="'threads' is missing"):
        HardwareProfile.from_dict(data)
    with pytest.raises(UserError, match="image_size=16"):
        HardwareProfile.from_dict(profile().to_dict() | {"image_size": 16})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "cpux"}, "did you mean 'cpu'"),
        ({"runtime": "onnxrutime"}, "did you mean 'onnxruntime'"),
        ({"precision": "int8_statc"}, r"precision='int8_statc': .* did you mean 'int8_static'\?"),
        ({"runtime": "cuda_eager"}, "device='cpu': allowed is cuda with cuda_eager"),
        ({"precision": "fp8"}, r"allowed is fp32 or int8 or int8_static with onnxruntime"),
    ],
)
def test_a_profile_nobody_can_measure_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_profile(profile(**change))


def test_every_device_has_a_usable_default() -> None:
    for device in DEVICES:
        assert device.summary
        default = device.default()
        if device.name == "command":  # the one thing that nobody else can know
            default.command = "ssh pi bench {model} {runs}"
        check_settings(device.name, default)
        if device.unavailable() is None:
            check_profile(HardwareProfile.of(device.name, default, (16, 16), 1))


def test_the_machine_is_described() -> None:
    machine = this_machine(threads=2)
    assert machine.processor
    assert machine.cores >= 1
    assert machine.threads == 2
    assert {"python", "torch", "onnxruntime"} <= machine.versions.keys()
    assert machine.same_as(replace(machine, date="2000-01-01T00:00:00+00:00"))
    assert not machine.same_as(replace(machine, processor="another"))
    assert not machine.same_as(replace(machine, versions=machine.versions | {"torch": "0.1"}))


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from nas.hardware.device import DEVICES\n"
        "from nas.runtimes.base import RUNTIMES\n"
        "from nas.predictors.family import FAMILIES\n"
        "assert DEVICES.names() and RUNTIMES.names() and FAMILIES.names()\n"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'sklearn', 'scipy', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_device_in_a_plug_in_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "toaster.py").write_text(
        "from nas.hardware.cpu import Cpu\n"
        "from nas.hardware.device import DEVICES\n"
        "@DEVICES.register\n"
        "class Toaster(Cpu):\n"
        "    name = 'toaster'\n"
    )
    code = (
        "from nas.hardware.device import DEVICES; assert {'cpu', 'toaster'} <= {*DEVICES.names()}"
    )
    environment = {"FORMFINDER_PLUGINS": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
