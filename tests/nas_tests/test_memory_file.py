"""Peak memory of several profiles: each is measured, once, and read back by those who show it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.display import Display
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.memory import costs_on
from nas.measurement.memory_file import memory_of
from nas.run_folder import RunFolder, read_json, write_json
from nas.steps import memory
from search_spaces.space import SearchSpace
from supernet.operators import all_cards

SPACE = SearchSpace(
    {
        "image_size": [16, 16],
        "channels": 1,
        "head_dim": 16,
        "patch_size": [4, 8],
        "stages": [
            {
                "width": [16, 32],
                "depth": [1, 2],
                "heads": [1, 2],
                "mlp_ratio": [1, 2],
                "attention": ["softmax"],
            }
        ],
    },
    all_cards(),
)
CLASSES = 3


def profile(**changes: Any) -> HardwareProfile:
    config = HardwareConfig(**{"runtime": "torch_eager", **changes})
    return HardwareProfile.of("cpu", config, (16, 16), 1)


PROFILES = (profile(), profile(batch=4), profile(threads=2))


def run(folder: Path, profiles: tuple[HardwareProfile, ...] = PROFILES, **changes: Any) -> Any:
    shared = {
        "folder": RunFolder(folder),
        "source": RunFolder(folder),
        "offered": SPACE,
        "num_classes": CLASSES,
        "away": False,
        "config": SimpleNamespace(seed=0, profile=SimpleNamespace(n_torch=4, n_runtime=10)),
        "genes": lambda found: SPACE.encode(found[0])[None],
        "example": lambda profile: torch.zeros(profile.input_shape),
        **changes,
    }
    one = [
        SimpleNamespace(
            **shared, profile=each, profiles=(each,), costs=costs_on(each, SPACE, CLASSES)
        )
        for each in profiles
    ]
    return SimpleNamespace(**shared, profiles=profiles, searches=one)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches of all forward passes that were measured."""
    batches: list[int] = []

    def counting(model: Any, example: torch.Tensor) -> Any:
        batches.append(len(example))
        return measure(model, example)

    measure = memory.measure_peak_memory
    monkeypatch.setattr(memory, "measure_peak_memory", counting)
    return batches


def check(of: Any) -> None:
    memory.check_memory(of, Display(progress=False))


def test_every_profile_of_a_run_has_its_memory_in_the_file(
    tmp_path: Path, measured: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    check(run(tmp_path))
    stored = read_json(RunFolder(tmp_path).memory)
    found = [memory_of(stored, each.key()) for each in PROFILES]
    assert [entry["batch"] for entry in found] == [1, 4, 1]
    small, large = (max(row["measured_mb"] for row in entry["rows"]) for entry in found[:2])
    assert large > small
    assert found[2] == found[0]  # of two threads: the same figures, not measured again
    assert sorted(set(measured)) == [1, 4]
    assert measured.count(1) == measured.count(4) == len(found[0]["rows"])
    out = capsys.readouterr().out
    assert out.count("peak memory in torch_eager, batch 1") == 1
    assert out.count("peak memory in torch_eager, batch 4") == 1


def test_what_is_there_is_not_measured_again_and_what_is_missing_is(
    tmp_path: Path, measured: list[int]
) -> None:
    check(run(tmp_path, PROFILES[:1]))
    first = read_json(RunFolder(tmp_path).memory)
    measured.clear()
    check(run(tmp_path, PROFILES[:2]))
    assert set(measured) == {4}
    stored = read_json(RunFolder(tmp_path).memory)
    assert memory_of(stored, PROFILES[0].key()) == memory_of(first, PROFILES[0].key())


def test_a_file_of_before_is_about_the_first_profile(tmp_path: Path, measured: list[int]) -> None:
    folder, key = RunFolder(tmp_path), PROFILES[0].key()
    check(run(tmp_path, PROFILES[:1]))
    old = dict(memory_of(read_json(folder.memory), key))
    del old["precision"]
    write_json(folder.memory, old)
    assert memory_of(read_json(folder.memory), key) == old
    measured.clear()
    check(run(tmp_path, PROFILES[:2]))
    assert memory_of(read_json(folder.memory), key) == old
    assert set(measured) == {4}


def test_memory_measured_for_the_weights_is_taken_over(tmp_path: Path, measured: list[int]) -> None:
    check(run(tmp_path / "theirs", PROFILES[:1]))
    measured.clear()
    check(run(tmp_path / "ours", source=RunFolder(tmp_path / "theirs")))
    assert set(measured) == {4}


def test_a_runtime_that_tells_nothing_of_its_memory_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = profile(
        device="command", runtime="command", command="""echo '{"latencies_ms": [1]}'"""
    )
    check(run(tmp_path, (silent, PROFILES[0])))
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("peak memory of command fp32 cannot be told") == 1
    assert "use that of torch_eager" in out


@pytest.mark.parametrize("stored", [{"profiles": 3}, {"profiles": {"k": 3}}, {"profiles": {}}])
def test_a_damaged_file_has_nothing(stored: dict[str, Any]) -> None:
    assert memory_of(stored, "k") == {}
