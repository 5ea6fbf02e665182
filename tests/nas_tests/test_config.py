"""The schema, its two kinds of keys, its rules and its files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.config import (
    DataConfig,
    HardwareConfig,
    RunConfig,
    SearchConfig,
    diff_identity,
    from_dict,
    identity_of,
    load_config,
    run_folder,
    run_name,
    save_config,
    to_dict,
    validate,
)
from nas.config.fields import IDENTITY, RESUMABLE, keys
from nas.config.rules import RULES
from search_spaces.errors import UserError


@pytest.fixture
def config():
    return RunConfig(
        space={"patch_size": [2, 4]},
        hardware={"cpu": HardwareConfig()},
        constraints={"accuracy": None, "latency_ms": None},
    )


def put(config, path, value):
    """``config`` with the leaf at a dotted path replaced."""
    data = to_dict(config)
    *sections, last = path.split(".")
    inner = data
    for section in sections:
        inner = inner[section]
    inner[last] = value
    return from_dict(data)


def test_every_key_states_its_kind_and_a_line_of_help():
    for key in keys(RunConfig):
        assert key.kind in (IDENTITY, RESUMABLE), key.path
        assert key.summary, key.path
        assert len(key.summary) <= 70, key.path


def test_the_kinds_are_those_of_the_design():
    kinds = {key.path: key.kind for key in keys(RunConfig)}
    for path in ("space", "data.name", "seed", "training.lr", "search.objectives", "constraints"):
        assert kinds[path] == IDENTITY
    for path in ("search.trials", "search.minutes", "executor.name", "progress", "out_dir"):
        assert kinds[path] == RESUMABLE


def test_every_rule_speaks_of_a_key_that_exists():
    assert set(RULES) <= {key.path for key in keys(RunConfig)}


def test_the_defaults_are_valid(config):
    assert validate(config) is config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("search.trials", 0),
        ("search.batch_size", 0),
        ("search.minutes", -1.0),
        ("training.epochs", 0),
        ("training.lr", 0.0),
        ("training.lr", float("nan")),
        ("training.lr", float("inf")),
        ("training.label_smoothing", 1.0),
        ("training.batch_size", 1),
        ("training.augmentation.rotate_deg", -1.0),
        ("data.image_size", 2),
        ("data.channels", 2),
        ("data.fit", "squeeze"),
        ("data.val_share", 0.0),
        ("profile.n_runtime", 5),
        ("executor.workers", 0),
        ("executor.timeout_s", 0.0),
        ("seed", -1),
        ("device", "tpu"),
        ("by", "luck"),
        ("name", "a/b"),
        ("constraints.latency_ms", 0.0),
        ("constraints.latency_ms", -2.0),
        ("constraints.latency_ms", float("nan")),
        ("constraints.accuracy", 1.5),
        ("hardware.cpu.threads", 0),
    ],
)
def test_values_out_of_range_name_key_value_and_what_is_allowed(config, path, value):
    with pytest.raises(UserError, match="allowed is") as caught:
        validate(put(config, path, value))
    assert str(caught.value).startswith(f"{path}={value!r}")


@pytest.mark.parametrize(
    ("path", "value", "close"),
    [
        ("search.objectives", ["acuracy"], "accuracy"),
        ("sampler.name", "nsga_2", "nsga2"),
        ("executor.name", "in_proces", "in_process"),
        ("data.name", "digit", "digits"),
        ("hardware.cpu.device", "cpo", "cpu"),
        ("hardware.cpu.runtime", "onnxruntim", "onnxruntime"),
        ("constraints.latency", 3.0, "latency_ms"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(config, path, value, close):
    with pytest.raises(UserError, match=f"did you mean '{close}'"):
        validate(put(config, path, value))


def test_rules_across_fields(config):
    with pytest.raises(UserError, match="every metric once"):
        validate(put(config, "search.objectives", ["accuracy", "params", "accuracy"]))
    with pytest.raises(UserError, match="at least one of accuracy"):
        validate(put(config, "search.objectives", []))
    with pytest.raises(UserError, match="leave nothing to train on"):
        validate(replace(config, data=DataConfig(val_share=0.5, test_share=0.5)))
    with pytest.raises(UserError, match=r"hardware='\[\]'"):
        validate(replace(config, hardware={}))
    with pytest.raises(UserError, match="space="):
        validate(replace(config, space={}))
    with pytest.raises(UserError, match=r"sampler\.options.*n_startup"):
        validate(put(config, "sampler.options", {"n_start": 3}))


def test_a_larger_budget_is_the_same_run(config):
    larger = replace(config, search=SearchConfig(trials=10_000, minutes=3.0), out_dir="elsewhere")
    larger = put(larger, "executor.name", "in_process")
    assert diff_identity(config, larger) == []


def test_differences_of_identity_are_listed_key_by_key(config):
    other = put(put(config, "training.lr", 0.5), "space.patch_size", [4])
    assert diff_identity(config, other) == [
        "space.patch_size: [2, 4] → [4]",
        "training.lr: 0.004 → 0.5",
    ]


def test_keys_that_only_one_side_has_are_differences(config):
    other = put(config, "hardware.phone", to_dict(config)["hardware"]["cpu"])
    assert diff_identity(config, other)[0] == "hardware.phone.device: (not set) → cpu"
    assert diff_identity(other, config)[0] == "hardware.phone.device: cpu → (not set)"


def test_a_metric_that_appears_later_does_not_change_old_runs(config):
    later = replace(config, constraints={**config.constraints, "energy_mj": None})
    assert diff_identity(config, later) == []
    assert identity_of(config).keys() == identity_of(later).keys()


def test_a_configuration_survives_its_file(config, tmp_path):
    path = tmp_path / "config.yaml"
    save_config(config, path)
    assert load_config(path) == config
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.yaml"]


def test_files_of_older_versions_take_defaults_for_what_they_lack(config):
    data = to_dict(config)
    del data["search"]["minutes"]
    del data["report"]
    assert from_dict(data) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {trials: many}", r"search\.trials"),
        ("serach: {trials: 3}", "serach"),
        ("- 1", "not a run's configuration"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_files_that_are_no_configuration_are_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_asks_for_a_run_folder(tmp_path):
    with pytest.raises(UserError, match=r"is .* a run folder"):
        load_config(tmp_path / "config.yaml")


def test_runs_are_named_after_data_hardware_and_seed(config):
    assert run_name(config) == "digits-cpu-s0"
    assert run_folder(config).as_posix() == "runs/digits-cpu-s0"
    photos = replace(config, data=DataConfig(name="folder", path="/data/My photos"), seed=3)
    assert run_name(photos) == "My_photos-cpu-s3"
    assert run_name(replace(config, name="mine")) == "mine"
