"""What the texts say can be done, can be done: commands parse, links resolve, files of code run."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.cli.commands import COMMANDS
from nas.config.registries import KINDS, names

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(text.relative_to(ROOT)) for text in TEXTS]
ADDING = ROOT / "docs" / "adding.md"
TRACKING = ROOT / "docs" / "tracking.md"
RUNTIMES = ROOT / "docs" / "runtimes.md"

# What stands for something of the reader's own.
PLACEHOLDERS = {"COMMAND", "KIND", "PATH"}

LISTED = {
    "attention": "linear",
    "token_reduction": "pairs",
    "transition": "patch_merging",
    "position": "local5",
    "hardware": "gpu",
    "runtime": "torch_bf16",
    "objective": "carbon_ug",
    "proxy": "weight_norm",
    "sampler": "climbing",
}

COMPOSE = """
import shlex, sys
from pathlib import Path
from nas.cli import split_words
from nas.cli.compose import compose_and_call
from nas.config import save_config
from search_spaces.errors import UserError
from search_spaces.registry import load_plugins

load_plugins()
found = []
compose_and_call([], [], found.append)
for run in ("RUN", "runs/digits-cpu-s0", "runs/photos-cpu-s0"):
    Path(run).mkdir(parents=True)
    save_config(found[0], Path(run, "config.yaml"))
for line in Path("lines.txt").read_text().splitlines():
    flags, overrides = split_words(shlex.split(line))
    try:
        compose_and_call(overrides, flags, found.append)
    except UserError as error:
        print(f"{line}: {error}")
"""

USE = """
import optuna
import torch
from nas.hardware.device import DEVICES
from nas.hardware.profile import HardwareProfile
from nas.objectives import OBJECTIVES
from nas.proposing.history import History
from nas.proposing.question import Question
from nas.runtimes.base import RUNTIMES
from nas.samplers import build_sampler
from search_spaces.space import SearchSpace
from supernet.model import Supernet, extract
from supernet.operators import all_cards

later = {"width": [16, 24], "depth": [2], "heads": [1, 2], "mlp_ratio": [2],
         "attention": ["softmax", "linear"], "reduction": ["none", "pairs"]}
space = SearchSpace({"image_size": 16, "channels": 1, "head_dim": 8, "patch_size": [2],
                     "position": ["local5"], "min_tokens": 2,
                     "stages": [later, {**later, "transition": ["patch_merging"]}]}, all_cards())
supernet = Supernet(space, 3).eval()
images = torch.randn(2, 1, 16, 16)
for choices in ({"attention": "linear"}, {"attention": "linear", "reduction": "pairs"}):
    architecture = space.largest(**choices)
    assert "linear" in str(architecture), architecture
    logits = supernet(images, architecture)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(logits, extract(supernet, architecture)(images))

torch.cuda.is_available = lambda: False
assert "CUDA" in DEVICES["gpu"].unavailable()

profile = HardwareProfile(name="bf16", device="cpu", runtime="torch_bf16", precision="bf16",
                          threads=1, batch=2, image_size=(16, 16), channels=1)
with RUNTIMES["torch_bf16"].prepare(extract(supernet, architecture), images, profile) as prepared:
    assert prepared.output().shape == (2, 3) and len(prepared.durations_ms(2)) == 2

question = Question(space=space, columns=lambda rows: {"params": rows.sum(axis=1)},
                    objectives=(OBJECTIVES["accuracy"], OBJECTIVES["params"]), limits=(), box=None,
                    batch_size=4)
history = History(question)
study = optuna.create_study(directions=["maximize", "minimize"])
for batch in range(3):
    history.refresh(study)
    study.sampler = build_sampler("climbing", {"parents": 2}, batch, history)
    for trial in [study.ask() for _ in range(4)]:
        digest = space.suggest(trial).architecture.digest()
        study.tell(trial, [int(digest[:2], 16), int(digest[2:4], 16)])
assert len(history.distinct()) == 8
"""


def blocks(text: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", text.read_text(encoding="utf-8"), re.DOTALL)


def spans(text: Path) -> list[str]:
    """What stands between single backticks, outside of fenced blocks."""
    prose = re.sub(r"```.*?```", "", text.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def command_lines(text: Path) -> Iterator[list[str]]:
    """The words after ``formfinder``, of every command line in blocks and in prose."""
    lines = [line for block in blocks(text, "bash") for line in block.splitlines()]
    for line in [*lines, *spans(text)]:
        found = re.search(r"(?:^|uv run |&& )formfinder( .*)", line)
        if found:
            words = shlex.split(found[1], comments=True)
            if words and not PLACEHOLDERS & set(words):
                yield words


def plugin_files(text: Path = ADDING) -> dict[str, str]:
    """The plug-ins of a text by file name."""
    found = {}
    for block in blocks(text, "python"):
        name = re.match(r"# plugins/(\w+\.py)\n", block)
        assert name, f"a block without its file name: {block[:60]!r}"
        found[name[1]] = block
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: the plug-ins and the spaces that the texts speak of."""
    made = tmp_path_factory.mktemp("reader")
    spaces = made / "spaces" / "space"
    spaces.mkdir(parents=True)
    (spaces / "mine.yaml").write_text(blocks(ADDING, "yaml")[0], encoding="utf-8")
    shutil.copy(ROOT / "conf" / "space" / "digits.yaml", spaces / "large.yaml")
    devices = made / "devices" / "hardware"
    devices.mkdir(parents=True)
    (devices / "pi.yaml").write_text(blocks(RUNTIMES, "yaml")[0], encoding="utf-8")
    (made / "plugins").mkdir()
    for name, code in {**plugin_files(), **plugin_files(TRACKING)}.items():
        (made / "plugins" / name).write_text(code, encoding="utf-8")
    return made


def run(folder: Path, code: str, *arguments: str) -> str:
    """Standard output of a Python process in ``folder``, which has its plug-ins."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "FORMFINDER_PLUGINS": "plugins", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- adding.md --------------------------------------------------------------------------------


def test_the_files_of_adding_register_what_they_say(folder: Path) -> None:
    shown = run(folder, "import nas.cli; nas.cli.main(['list'])")

    missing = [name for name in LISTED.values() if name not in re.split(r"[\s,]+", shown)]

    assert missing == []
    assert len(plugin_files()) == len(LISTED)


@pytest.mark.slow
def test_the_files_of_adding_do_what_they_say(folder: Path) -> None:
    run(folder, USE)


# -- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_every_command_exists(text: Path) -> None:
    for words in command_lines(text):
        name = words[0]
        assert name in COMMANDS or name.startswith("-"), words
        if name == "list":
            assert set(words[1:]) <= set(KINDS), words


@pytest.mark.slow
def test_every_override_is_a_key_with_a_value_that_fits(folder: Path) -> None:
    lines = [
        shlex.join(words[1:])
        for text in TEXTS
        for words in command_lines(text)
        if words[0] in COMMANDS and COMMANDS[words[0]].composes
    ]
    assert len(lines) > 10
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")

    assert run(folder, COMPOSE) == ""


def test_the_commands_table_of_the_readme_is_complete() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"| `formfinder {name}" not in readme] == []


def test_the_two_commands_are_said() -> None:
    first, second, *_ = blocks(ROOT / "README.md", "bash")
    assert first == "pip install uv && uv run formfinder run\n"
    assert second == "pip install uv && uv run pytest\n"


@pytest.mark.parametrize("kind", ["sampler", "proxy"])
def test_every_sampler_and_proxy_has_its_row(kind: str) -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "samplers.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert [name for name in names(kind) if name not in named] == []


# -- links and code ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_every_relative_link_resolves(text: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", text.read_text(encoding="utf-8"))
    local = [t.partition("#")[0] for t in targets if not re.match(r"[a-z]+:", t)]
    assert [t for t in local if t and not (text.parent / t).exists()] == []


@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_every_file_that_is_named_exists(text: Path) -> None:
    ours = re.compile(r"(?:conf|docs|nas|search_spaces|supernet|tests|benchmarks)/[\w./]+")
    named = [span for span in spans(text) if ours.fullmatch(span)]
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_every_block_of_python_is_python(text: Path) -> None:
    for block in blocks(text, "python"):
        ast.parse(block)


@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_no_path_of_somebody_s_machine(text: Path) -> None:
    found = re.findall(r"/(?:home|root|work|Users)/\S*", text.read_text(encoding="utf-8"))
    assert found == []


def test_the_version_is_the_same_everywhere() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.*)"$', project, re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {version[1]}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
