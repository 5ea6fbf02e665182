"""The command line: what reaches the pipeline, and what the user reads when nothing does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types

import pytest

from nas.cli import main, split_words
from nas.cli.commands import COMMANDS
from nas.config import HardwareConfig, RunConfig, run_folder, save_config
from nas.run_folder import RunFolder
from search_spaces.errors import UserError

SLOW_TO_IMPORT = {"hydra", "numpy", "optuna", "ray", "sklearn", "timm", "torch"}


@pytest.fixture
def calls(monkeypatch):
    """The configurations that reached the pipeline, whose real steps take minutes."""
    seen: list[tuple[str, RunConfig]] = []
    fake = types.ModuleType("nas.pipeline")
    for name in ("run", "train", "profile", "search", "export", "pick"):
        setattr(fake, name, lambda config, name=name: seen.append((name, config)))
    fake.describe = lambda path: seen.append(("describe", path))
    monkeypatch.setitem(sys.modules, "nas.pipeline", fake)
    monkeypatch.setattr("nas.pipeline", fake, raising=False)
    return seen


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refusal(capsys, *args):
    """The one line on stderr that ``args`` are refused with."""
    assert main(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("formfinder: ")
    return captured.err.removeprefix("formfinder: ").strip()


def fresh(code):
    """Modules that a fresh process has loaded after ``code``."""
    script = f"{code}\nimport sys\nprint('\\x00' + ' '.join(sys.modules))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    output, _, loaded = done.stdout.partition("\x00")
    return output, set(loaded.split())


def test_help_fits_the_terminal_and_loads_nothing():
    output, loaded = fresh("import nas.cli; nas.cli.main(['--help'])")
    assert not loaded & SLOW_TO_IMPORT
    assert not {name for name in loaded if name.startswith("supernet.")}
    assert max(map(len, output.splitlines())) <= 80
    for command in COMMANDS.values():
        assert command.name in output
        assert command.summary in output


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_each_command_fits_and_shows_examples(capsys, name):
    assert main([name, "--help"]) == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    for example in COMMANDS[name].examples:
        assert example in output


def test_help_of_run_explains_every_key_it_takes(capsys):
    main(["run", "--help"])
    output = capsys.readouterr().out
    for key in ("data.path", "training.lr", "search.trials", "executor.name", "finetune.epochs"):
        assert f" {key} " in output
    assert " * training.lr" in output
    assert "   search.trials" in output


def test_help_of_a_command_loads_nothing():
    _, loaded = fresh("import nas.cli; nas.cli.main(['run', '--help'])")
    assert not loaded & (SLOW_TO_IMPORT | {"omegaconf"})


def test_list_loads_neither_ray_nor_timm_nor_sklearn():
    output, loaded = fresh("import nas.cli; nas.cli.main(['list'])")
    assert not loaded & {"ray", "timm", "sklearn"}
    for word in ("attention", "softmax", "nsga2", "digits", "folder", "classification"):
        assert word in output


def test_list_prints_one_kind_by_name_with_its_summary(capsys):
    assert main(["list", "data"]) == 0
    output = capsys.readouterr().out
    assert "digits" in output
    assert "1,797" in output


@pytest.mark.parametrize(
    ("kind", "name", "summary"),
    [
        ("space", "digits", "Small images, few classes"),
        ("experiment", "smoke", "Does every step run?"),
        ("hardware", "cpu", "this computer's processor"),
        ("hardware", "cpu_torch", "This processor with PyTorch"),
        ("hardware", "cpu_openvino", "formfinder[openvino]"),
        ("predictor", "gp", "Gaussian process"),
    ],
)
def test_list_knows_files_and_predictors_too(capsys, kind, name, summary):
    assert main(["list", kind]) == 0
    output = capsys.readouterr().out
    assert name in output
    assert " ".join(summary.split()) in " ".join(output.split())
    assert main(["list", f"{kind[:-1]}"]) == 2
    assert f"did you mean '{kind}'?" in capsys.readouterr().err


def test_a_plug_in_is_in_the_list_and_an_option_of_the_composition(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from nas.data import SOURCES\n"
        "@SOURCES.register\n"
        "class Mine:\n"
        "    name, summary, may_mirror = 'mine', 'my own', True\n"
        "    defaults = {'image_size': 24, 'channels': 3}\n"
    )
    code = f"import os; os.environ['FORMFINDER_PLUGINS'] = {str(tmp_path)!r}\n"
    calls = "['list', 'data']", "'run data=mine --cfg job'.split()"
    output, _ = fresh(code + "import nas.cli\n" + "\n".join(f"nas.cli.main({c})" for c in calls))
    assert "my own" in output
    assert "name: mine" in output
    assert "image_size: 24" in output


def test_defaults_reach_the_pipeline(calls):
    assert main(["run"]) == 0
    [(name, config)] = calls
    assert name == "run"
    assert config.data.name == "digits"
    assert list(config.hardware) == ["cpu"]
    assert config.sampler.options["population"] > 1
    assert config.executor.name == "ray"
    assert config.space["image_size"] == [16, 16]
    assert set(config.constraints.values()) == {None}
    assert {"accuracy", "latency_ms", "peak_memory_mb"} <= set(config.constraints)


def test_overrides_reach_the_pipeline_and_nothing_is_written(calls, tmp_path):
    words = "run hardware=[cpu,cpu_torch] hardware.cpu.threads=2 constraints.latency_ms=2 seed=5"
    assert main(words.split()) == 0
    config = calls[0][1]
    assert list(config.hardware) == ["cpu", "cpu_torch"]
    assert config.hardware["cpu"].threads == 2
    assert config.constraints["latency_ms"] == 2.0
    assert config.seed == 5
    assert list(tmp_path.iterdir()) == []


def test_choosing_data_brings_its_size_to_the_space(calls):
    assert main(["train", "data=folder", "data.path=photos"]) == 0
    config = calls[0][1]
    assert config.space["image_size"] == [config.data.image_size] * 2
    assert config.space["channels"] == 3
    assert config.data.mirror


def test_a_grid_calls_once_per_member(calls, tmp_path):
    assert main(["run", "-m", "seed=0,1,2"]) == 0
    assert [config.seed for _, config in calls] == [0, 1, 2]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["runs"]
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == [".multirun"]


def test_a_grid_stops_at_the_first_member_that_cannot_be_used(calls, capsys):
    assert "seed=-1" in refusal(capsys, "run", "-m", "seed=0,-1,2")
    assert [config.seed for _, config in calls] == [0]


def test_configuration_folders_of_the_user_are_read(calls, tmp_path):
    (tmp_path / "my" / "space").mkdir(parents=True)
    (tmp_path / "my" / "space" / "small.yaml").write_text("patch_size: [4]\n")
    assert main(["run", "--config-dir", "my", "space=small"]) == 0
    assert calls[0][1].space == {"patch_size": [4]}


def test_every_experiment_that_is_shipped_composes(calls):
    import conf

    folder = next(iter(conf.__path__))
    names = [name.removesuffix(".yaml") for name in os.listdir(f"{folder}/experiment")]
    assert "smoke" in names
    for name in names:
        assert main(["run", f"experiment={name}"]) == 0
    assert len(calls) == len(names)


def test_the_configuration_is_printed_on_request(calls, capsys):
    assert main(["run", "--cfg", "job"]) == 0
    assert "trials:" in capsys.readouterr().out
    assert calls == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("rum", ["command='rum'", "did you mean 'run'"]),
        ("run --bogus", ["option='--bogus'", "--config-dir"]),
        ("run --config-dir", ["--config-dir", "missing"]),
        ("run --config-dir nowhere", ["nowhere", "not found"]),
        ("run trials", ["'trials'", "key=value"]),
        ("run search.trials=abc", ["search.trials='abc'", "a whole number"]),
        ("run search.minutes=soon", ["search.minutes='soon'", "a number or null"]),
        ("run data.image_size=null", ["data.image_size=None", "a whole number"]),
        ("run search.objectives=5", ["search.objectives=5", "a list"]),
        ("run hardware.cpu.threads=x", ["hardware.cpu.threads='x'", "a whole number"]),
        ("run constraints.latency_ms=fast", ["constraints.latency_ms='fast'", "a number or null"]),
        ("run search=4", ["search=4", "search.objectives="]),
        ("run trials=5", ["'trials'", "did you mean 'search.trials'"]),
        ("run serach.trials=5", ["'serach.trials'", "did you mean 'search.trials'"]),
        ("run search.trails=5", ["'search.trails'", "'search.trials'", "known in search"]),
        ("run constraints.latency=5", ["'constraints.latency_ms'"]),
        ("run sampler.options.populaton=5", ["'sampler.options.population'"]),
        ("run hardware.cpx.threads=1", ["'hardware.cpu.threads'"]),
        ("run space.stagse=1", ["'space.stages'"]),
        ("run samplr=nsga2", ["'samplr'", "did you mean 'sampler'"]),
        ("run +foo=1", ["'foo' is no key"]),
        ("run +search.foo=1", ["'search.foo' is no key"]),
        ("run ~seed", ["cannot be removed"]),
        ("run sampler=nsg2", ["sampler='nsg2'", "did you mean 'nsga2'"]),
        ("run hardware=[cpu,cpu_torhc]", ["hardware='cpu_torhc'", "did you mean 'cpu_torch'"]),
        ("run space=dgits", ["space='dgits'", "did you mean 'digits'"]),
        ("run experiment=smok", ["experiment='smok'", "did you mean 'smoke'"]),
        ("run seed=1,2", ["seed=1,2", "-m"]),
        ("run a=b=c]", ["cannot be read", "key=value"]),
        ("run name=${nope}", ["nope"]),
        ("run search.trials=0", ["search.trials=0", "1 or more"]),
        ("run search.objectives=[acuracy]", ["'acuracy'", "did you mean 'accuracy'"]),
        ("run search.prefilter.keep=0.2", ["keep=0.2", "search.prefilter.proxy"]),
        ("pick", ["pick", "RUN"]),
        ("pick nowhere", ["'nowhere'", "run folder"]),
        ("run run=nowhere", ["run='nowhere'", "no such run folder"]),
        ("list attentoin", ["did you mean 'attention'"]),
        ("list data task", ["list data task"]),
        ("describe", ["describe", "allowed is one"]),
        ("describe nowhere.json", ["nowhere.json", "no such file"]),
    ],
)
def test_bad_input_gets_one_line_that_helps(calls, capsys, tmp_path, words, parts):
    line = refusal(capsys, *words.split())
    for part in parts:
        assert part in line
    assert calls == []
    assert list(tmp_path.iterdir()) == []


def test_a_typo_in_a_user_s_own_file_is_told_like_one_on_the_line(calls, capsys, tmp_path):
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    (tmp_path / "my" / "experiment" / "x.yaml").write_text(
        "# @package _global_\nsearch: {trails: 3}\n"
    )
    line = refusal(capsys, "run", "--config-dir", "my", "experiment=x")
    assert "search.trails" in line
    assert "search.trials" in line


def stored_run(folder, **values):
    folder.mkdir(parents=True)
    hardware = {"cpu": HardwareConfig(threads=3)}
    stored = RunConfig(space={"patch_size": [4]}, hardware=hardware, seed=7, **values)
    save_config(stored, RunFolder(folder).config)


def test_a_run_folder_stands_for_the_keys_it_began_with(calls, tmp_path):
    stored_run(tmp_path / "my runs" / "it's [1]")
    folder = "my runs/it's [1]"
    assert main(["pick", folder, "constraints.latency_ms=5", "by=knee"]) == 0
    [(name, config)] = calls
    assert name == "pick"
    assert config.seed == 7
    assert config.hardware["cpu"].threads == 3
    assert config.constraints["latency_ms"] == 5.0
    assert config.by == "knee"
    assert run_folder(config) == tmp_path / "my runs" / "it's [1]"


def test_a_larger_budget_continues_a_run_by_its_folder(calls, tmp_path):
    stored_run(tmp_path / "r")
    assert main(["search", "r", "search.trials=999"]) == 0
    assert calls[0][1].search.trials == 999
    assert calls[0][1].space == {"patch_size": [4]}


def test_a_trained_supernet_is_searched_for_other_hardware_under_another_name(calls, tmp_path):
    stored_run(tmp_path / "runs" / "old", name="old")
    assert main(["search", "supernet=runs/old", "hardware=cpu_torch"]) == 0
    config = calls[0][1]
    assert config.supernet == "runs/old"
    assert list(config.hardware) == ["cpu_torch"]
    assert config.space == {"patch_size": [4]}
    assert run_folder(config).name == "digits-cpu_torch-s7"


@pytest.mark.parametrize("word", ["init=timm:vit_tiny_patch16_224", "init_order=none"])
def test_a_trained_supernet_starts_from_no_other_weights(calls, capsys, tmp_path, word):
    stored_run(tmp_path / "runs" / "old", name="old")
    line = refusal(capsys, "search", "supernet=runs/old", word)
    assert word.partition("=")[0] in line
    assert "none beside supernet=" in line
    assert calls == []


def test_long_refusals_are_broken_between_words_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["list", "attentoin"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) > 1
    assert max(map(len, told)) <= 80


def test_an_experiment_does_not_mix_with_a_run_folder(calls, capsys, tmp_path):
    stored_run(tmp_path / "r")
    assert main(["run", "r", "experiment=smoke"]) == 2
    assert "experiment" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_told(calls, capsys, tmp_path):
    (tmp_path / "photos").mkdir()
    assert main(["pick", "photos"]) == 2
    assert "is" in capsys.readouterr().err


def test_describe_hands_on_what_exists(calls, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert main(["describe", "a.json"]) == 0
    assert calls[0][1].name == "a.json"


def failing(monkeypatch, error):
    fake = types.ModuleType("nas.pipeline")

    def run(config):
        raise error

    fake.run = run
    monkeypatch.setitem(sys.modules, "nas.pipeline", fake)
    monkeypatch.setattr("nas.pipeline", fake, raising=False)


def test_ctrl_c_says_how_to_continue(monkeypatch, capsys):
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["run", "seed=3"]) == 130
    assert capsys.readouterr().err == (
        "formfinder: stopped; the same command continues: formfinder run seed=3\n"
    )


def test_a_full_disk_is_one_line(monkeypatch, capsys):
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "runs/x"))
    assert refusal(capsys, "run") == "No space left on device: runs/x"


def test_errors_of_the_program_are_not_hidden(monkeypatch):
    failing(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["run"])


def test_an_error_of_the_pipeline_is_one_line(monkeypatch, capsys):
    failing(monkeypatch, UserError("data.path='x':\n  no such folder"))
    assert refusal(capsys, "run") == "data.path='x': no such folder"


def test_words_are_sorted_into_flags_and_overrides(tmp_path):
    (tmp_path / "r").mkdir()
    assert split_words(["r", "-m", "a=1", "--cfg=job"]) == (
        ["--multirun", "--cfg", "job"],
        ["run='r'", "a=1"],
    )
    with pytest.raises(UserError, match="after the run folder"):
        split_words(["r", "r"])
