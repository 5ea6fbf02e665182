"""Passwords in addresses: found wherever they stand, and kept from the screen and from files."""

from __future__ import annotations

import pytest

from nas.cli import main
from nas.config import RunConfig, load_config, save_config
from nas.masking import masked

SECRET = "hush"
ADDRESS = f"postgresql://ann:{SECRET}@db.example/trials"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:pw@h/d", "postgresql://ann:***@h/d"),
        ("postgresql://ann:p@w:/d@h/d", "postgresql://ann:***@h/d"),
        ("x=postgresql://:pw@h and so on", "x=postgresql://:***@h and so on"),
        ("postgresql://h/d?user=ann&password=pw&x=1", "postgresql://h/d?user=ann&password=***&x=1"),
        ("'mysql://ann:two words@h/d'", "'mysql://ann:***@h/d'"),
        ("sqlite:///trials.db", "sqlite:///trials.db"),
        ("ray://head:10001", "ray://head:10001"),
        ("postgresql://ann@h:5432/d", "postgresql://ann@h:5432/d"),
    ],
)
def test_only_the_password_is_masked(text, shown):
    assert masked(text) == shown
    assert masked(shown) == shown


def test_a_run_folder_keeps_no_password(tmp_path):
    config = RunConfig()
    config.search.mirror = ADDRESS
    save_config(config, tmp_path / "config.yaml")
    assert SECRET not in (tmp_path / "config.yaml").read_text()
    assert load_config(tmp_path / "config.yaml").search.mirror == masked(ADDRESS)
    assert config.search.mirror == ADDRESS


@pytest.mark.parametrize(
    "words",
    [
        ["run", f"search.mirror={ADDRESS}", "search.trials=none"],
        ["run", f"search.mirror='{ADDRESS}'", "search.trials="],
        ["run", f"search.miror={ADDRESS}"],
        ["run", f"search.mirror={ADDRESS}={{,", "--cfg", "job"],
        ["run", f"search.mirror={ADDRESS}", "--cfg", "job"],
        [ADDRESS],
        ["run", ADDRESS],
    ],
)
def test_the_command_line_shows_no_password(words, capsys):
    main(words)
    shown = capsys.readouterr()
    said = shown.out + shown.err
    assert said
    assert SECRET not in said


def test_what_ctrl_c_says_shows_no_password(monkeypatch, capsys):
    def stopped(config):
        assert config.search.mirror == ADDRESS, "the job itself has it"
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.pipeline.run", stopped)
    assert main(["run", f"search.mirror={ADDRESS}"]) == 130
    line = capsys.readouterr().err
    assert SECRET not in line
    assert "search.mirror=postgresql://ann:***@db.example/trials" in line


def test_a_grid_writes_no_password(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("nas.pipeline.run", lambda config: seen.append(config.search.mirror))
    words = ["run", "-m", "seed=0,1", f"search.mirror={ADDRESS}", f"out_dir={tmp_path}"]
    assert main(words) == 0
    assert seen == [ADDRESS, ADDRESS]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert all(SECRET not in path.read_text() for path in written)
