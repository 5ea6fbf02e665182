"""Pins, and what the wheel is made of."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("conf", "nas", "search_spaces", "supernet")


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pins() -> list[str]:
    return (ROOT / "constraints.txt").read_text().splitlines()


def test_constraints_for_pip_and_for_uv_agree(project, pins):
    assert project["tool"]["uv"]["constraint-dependencies"] == pins


def test_pins_are_exact_and_name_no_host_and_no_path(pins):
    exact = re.compile(r"^[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.+!-]*( ; [^/@]+)?$")
    assert [line for line in pins if not exact.match(line)] == []


def test_every_dependency_is_pinned(project, pins):
    pinned = {line.partition("==")[0] for line in pins}
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    wanted += [text for extra in extras for text in extra]
    names = [re.match(r"[A-Za-z0-9._-]+", text)[0].lower() for text in wanted]
    assert [name for name in names if name not in pinned] == []


def test_no_lock_file_is_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert [name for name in tracked if name.endswith(("uv.lock", "pylock.toml"))] == []


def test_the_wheel_takes_every_package_whole(project):
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(wheel["packages"]) == sorted(PACKAGES)
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").is_file()
        assert (ROOT / package / "py.typed").is_file()


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    missing = [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert missing == []
