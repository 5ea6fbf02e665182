"""Registries: discovery, helpful errors, plug-in folders."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from search_spaces import registry as module
from search_spaces.errors import UserError
from search_spaces.registry import Registry, load_plugins, plugin_folders


@dataclass(frozen=True)
class Member:
    name: str


@pytest.fixture
def tools():
    found = Registry("tool", "search_spaces")
    for name in ("hammer", "drill"):
        found.add(Member(name))
    return found


def test_members_are_found_by_name_and_listed_in_order(tools):
    assert tools["drill"] == Member("drill")
    assert tools.names() == ["drill", "hammer"]
    assert [member.name for member in tools] == ["drill", "hammer"]
    assert len(tools) == 2
    assert "saw" not in tools


def test_an_unknown_name_is_told_with_the_nearest(tools):
    with pytest.raises(UserError, match=r"tool='hamer' is unknown; did you mean 'hammer'\?"):
        tools["hamer"]
    with pytest.raises(UserError, match=r"tool='zzz' is unknown \(known: drill, hammer\)"):
        tools["zzz"]


def test_a_name_is_taken_once(tools):
    @dataclass(frozen=True)
    class Other:
        name: str = "drill"

    with pytest.raises(UserError, match=r"'drill' is registered twice: as .*Member and as .*Other"):
        tools.add(Other())


def test_plug_in_folders_are_separated_as_in_path(monkeypatch, tmp_path):
    monkeypatch.setenv("FORMFINDER_PLUGINS", os.pathsep.join([str(tmp_path), "", "~/mine"]))
    first, second = plugin_folders()
    assert first == tmp_path
    assert second.is_absolute()


def test_every_file_of_a_plug_in_folder_is_read_once(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "COUNT", [], raising=False)
    line = "from search_spaces import registry\nregistry.COUNT.append(__name__)\n"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(line)
    folders = os.pathsep.join(str(tmp_path / folder) for folder in ("a", "b"))
    monkeypatch.setenv("FORMFINDER_PLUGINS", folders)
    load_plugins()
    load_plugins()
    assert len(module.COUNT) == 2
    assert len(set(module.COUNT)) == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("def f(:", ["broken.py", "SyntaxError"]),
        ("1 / 0", ["broken.py", "ZeroDivisionError"]),
        ("import no_such_module_at_all", ["broken.py", "no_such_module_at_all"]),
    ],
)
def test_a_plug_in_that_fails_is_named(monkeypatch, tmp_path, text, parts):
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.setenv("FORMFINDER_PLUGINS", str(tmp_path))
    with pytest.raises(UserError) as refused:
        load_plugins()
    for part in parts:
        assert part in str(refused.value)


def test_a_plug_in_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("FORMFINDER_PLUGINS", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"FORMFINDER_PLUGINS=.*nowhere: no such folder"):
        load_plugins()
