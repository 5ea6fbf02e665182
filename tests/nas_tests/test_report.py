"""report.html: says what was found, needs nothing else, survives whatever a run folder holds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.offline
import pytest

from nas.front import Front
from nas.report.commands import next_commands
from nas.report.content import predictor_path
from nas.report.write import write_report
from nas.run_folder import RunFolder
from search_spaces.errors import UserError
from tests.nas_tests.report_toy import PROFILE, finished_run

EVIL = "</script><script>window.pwned=1</script><img src=http://evil.example/x onerror=alert(1)>"
OPTIONAL = ("study", "training_log", "memory", "seconds", "config", "space", "best")


class Page(HTMLParser):
    """A page, taken apart."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.words: list[str] = []
        self._stack: list[str] = []
        self.feed(page)
        self.close()
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))
        if tag in ("script", "style"):
            self._stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._stack and self._stack[-1] == tag:
            self._stack.pop()

    def handle_data(self, data: str) -> None:
        if self._stack == ["script"]:
            kind, before = self.scripts[-1]
            self.scripts[-1] = kind, before + data
        elif not self._stack:
            self.words.append(data)

    @property
    def figures(self) -> list[Any]:
        return [json.loads(text) for kind, text in self.scripts if kind == "application/json"]

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            name == tag and all(found.get(k.rstrip("_")) == v for k, v in attributes.items())
            for name, found in self.tags
        )


def assert_harmless(page: Page) -> None:
    """Nothing is fetched and nothing runs but our own two scripts, which the policy names."""
    running = [text for kind, text in page.scripts if kind is None]
    assert len(running) == 2
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    for text in running:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for tag, attributes in page.tags:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "form", "svg")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "action", "data"), (tag, name)
            if name == "href":
                assert (value or "").startswith("#")
            if name == "style":
                assert "url" not in (value or "")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder: RunFolder = finished_run(tmp_path_factory.mktemp("runs") / "toy", trials=60, fails=40)
    return folder


@pytest.fixture
def folder(original: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(original.path, tmp_path / "toy")
    return RunFolder(tmp_path / "toy")


@pytest.fixture(autouse=True)
def _short_plotly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five megabytes less to hash, write and parse in the tests that do not speak of them."""
    if "plotly" not in request.node.name:
        monkeypatch.setattr(plotly.offline, "get_plotlyjs", lambda: "/* plotly */")


def page_of(folder: RunFolder, *baselines: Any) -> Page:
    return Page(write_report(folder, baselines).read_text(encoding="utf-8"))


def edit(path: Path, change: Any) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_it_says_what_was_found(folder):
    page = page_of(folder, {"name": "DeiT-like", "accuracy": 0.95, "latency_ms": 0.3})
    front = Front.load(folder.front)
    winner = front.member(front.winner)
    for words in (
        "Vision transformers for digits on cpu",
        "onnxruntime fp32 · 1 thread · batch 8 · 16×16 px",
        "Searched among 4.1×10¹¹ architectures for high accuracy, low latency, low peak memory",
        "in 60 trials",
        f"{100 * winner.value('accuracy'):.1f} % of the validation images right",
        "96.9 %",
        "Imaginary 7 Processor",
        "2.15.0",
        front.weights,
        "FlopCounterMode",
        "2 min 28 s",
        "formfinder pick",
        "formfinder search supernet=",
        "nas.load_model(",
    ):
        assert words in page.text, words
    assert len(page.figures) == 7
    assert "DeiT-like" in json.dumps(page.figures[0])
    assert "failed trials" in json.dumps(page.figures)
    assert_harmless(page)


def test_the_table_holds_every_member(folder):
    page = page_of(folder)
    front = Front.load(folder.front)
    for member in front.members:
        assert member.digest in page.text
        assert page.count("td", data_value=member.digest) == 0  # the attribute is data-value
    rows = [a.get("class") for tag, a in page.tags if tag == "tr" and a.get("class")]
    assert rows.count("winner") == 1
    assert len(rows) == len(front.members)
    assert page.text.count("tied") >= 2
    cells = [a["data-value"] for tag, a in page.tags if tag == "td" and "data-value" in a]
    assert repr(front.members[0].value("latency_ms")) in cells


def test_plotly_is_there_once_and_the_page_is_not_larger_than_it_must_be(folder):
    text = write_report(folder).read_text(encoding="utf-8")
    assert text.count("plotly.js v") == 1
    assert len(text) < 6_000_000
    assert len(list(folder.path.glob("*.tmp"))) == 0


def optional(folder: RunFolder) -> list[Path]:
    """The files that may be missing or damaged."""
    return [folder.predictor(PROFILE["key"]), *(getattr(folder, name) for name in OPTIONAL)]


@pytest.mark.parametrize("missing", ["study", "everything"])
def test_it_does_without(folder, missing):
    for path in optional(folder):
        if missing in ("everything", path.stem) or missing in path.name:
            path.unlink()
    page = page_of(folder)
    assert "Left out." not in page.text
    assert "could not be drawn" not in page.text
    assert_harmless(page)


@pytest.mark.parametrize("content", [b"\xff\xfe{{{\n", b"[1, 2]\n", b"{}\n", b"[" * 5_000])
def test_damage_costs_its_part_only(folder, content):
    for path in optional(folder):
        path.write_bytes(content)
    page = page_of(folder)
    assert "All members of the front" in page.text
    assert_harmless(page)


def test_a_journal_that_is_being_written_is_read_to_its_last_whole_line(folder):
    with folder.study.open("ab") as file:
        file.write(b'{"op_code": 4, "study')
    with folder.training_log.open("ab") as file:
        file.write(b'{"epoch": 31, "tea')
    page = page_of(folder)
    assert "60 trials" in page.text
    assert "Left out." not in page.text


def test_one_member_is_enough(folder):
    def only_the_winner(data: dict[str, Any]) -> None:
        data["members"] = [m for m in data["members"] if m["digest"] == data["winner"]]

    edit(folder.front, only_the_winner)
    page = page_of(folder)
    assert "The front has 1 member." in page.text
    assert "by=accuracy" in page.text
    assert "could not be drawn" not in page.text


def test_no_member_and_no_winner(folder):
    edit(folder.front, lambda data: data.update(members=[]))
    page = page_of(folder)
    assert "not among the stored members" in page.text
    assert_harmless(page)


def test_limits_are_told(folder):
    edit(folder.front, lambda data: data.update(limits={"latency_ms": 2.0}))
    assert "Hard limits: latency ≤ 2.00 ms." in page_of(folder).text


def test_the_test_accuracy_of_another_model_is_not_shown(folder):
    front = Front.load(folder.front)
    others = {member.digest: member.to_dict()["architecture"] for member in front.members}
    mine = others.pop(front.winner)
    edit(folder.best, lambda data: data.update(architecture=mine))
    assert "test accuracy" in page_of(folder).text
    edit(folder.best, lambda data: data.update(architecture=others.popitem()[1]))
    assert "test accuracy" not in page_of(folder).text


def test_without_a_front_there_is_no_report(folder):
    folder.front.unlink()
    with pytest.raises(UserError, match="no such file"):
        write_report(folder)
    assert not folder.report.exists()


def poisoned(data: dict[str, Any]) -> None:
    """Hostile text wherever text may stand, and text where numbers should."""
    for key in ("run", "created", "code_version", "weights", "winner_rule", "counting_rule"):
        data[key] = EVIL
    data["data"] = {EVIL: EVIL, "name": EVIL}
    data["profile"] |= {"name": EVIL, "runtime": EVIL, "threads": EVIL, "image_size": [EVIL, EVIL]}
    data["objectives"][1] |= {"label": EVIL, "unit": EVIL}
    data["limits"] = {EVIL: EVIL, "latency_ms": EVIL}
    data["front_error"] = {"mape": EVIL, EVIL: 1}
    first, second, third = data["members"][:3]
    first["metrics"]["latency_ms"] |= {"predicted": {"value": EVIL}, "low": EVIL, "kind": EVIL}
    first["metrics"][EVIL] = {"value": EVIL, "kind": EVIL}
    second["metrics"]["accuracy"] |= {"value": EVIL, "predicted": [EVIL]}
    third["tied"] = third["dominated"] = EVIL
    data["winner"] = first["digest"]
    for layer in first["layers"]:
        layer |= {"op": EVIL, "name": layer["name"] + EVIL, "params": EVIL}
    for block in first["architecture"]["stages"][0]["blocks"]:
        block["attention"]["op"] = EVIL
        block["reduction"] = {"op": EVIL, EVIL: EVIL}


def test_hostile_files_neither_run_nor_break_the_page(folder):
    edit(folder.front, poisoned)
    edit(folder.seconds, lambda data: data.update({EVIL: EVIL, "x": 1e400}))
    edit(folder.space, lambda data: data.update(cardinality=EVIL, digest="\ud800\u202e"))
    edit(folder.best, lambda data: data.update(metrics=[EVIL], test_accuracy={"value": EVIL}))
    more = {"digest": EVIL, "predicted_mb": EVIL}
    edit(folder.memory, lambda data: data["profiles"][PROFILE["key"]]["rows"].append(more))
    folder.config.write_text(f"seed: '{EVIL}'\n# </pre>{EVIL}\n")
    folder.training_log.write_text(json.dumps({"epoch": EVIL, "teacher_loss": 1.0}) + "\n")
    baseline = {"name": EVIL, "accuracy": 0.9, "latency_ms": 0.3}
    page = page_of(folder, baseline)
    assert_harmless(page)
    assert EVIL in page.text
    drawn = json.dumps(page.figures, ensure_ascii=False)
    assert "<img" not in drawn
    assert "<script" not in drawn


def test_sizes_are_capped(folder):
    def many(data: dict[str, Any]) -> None:
        data["members"] = (data["members"] * 501)[:501]
        data["run"] = "x" * 1_000_000

    edit(folder.front, many)
    folder.config.write_text("# " + "y" * 1_000_000)
    text = write_report(folder).read_text(encoding="utf-8")
    assert len(text) < 9_000_000
    assert "The first 500 of" in text


def test_paths_stay_inside_the_run_folder(folder):
    front = Front.load(folder.front)
    assert predictor_path(folder, front) == folder.predictor(PROFILE["key"])
    for key in ("../../secret", "/etc/passwd", "a/b", "", None, 3, "..", "x" * 300):
        changed = json.loads(folder.front.read_text())
        changed["profile"]["key"] = key
        folder.front.write_text(json.dumps(changed))
        assert predictor_path(folder, Front.load(folder.front)) is None


def test_commands_can_be_pasted(tmp_path, folder, monkeypatch):
    front = Front.load(folder.front)
    odd = RunFolder(tmp_path / "my 'runs'; rm -rf $HOME")
    for command in next_commands(odd, front):
        assert "'\"'\"'" in command.line
    monkeypatch.chdir(folder.path.parent)
    use, pick, other = next_commands(folder, front)
    assert use.line == """python -c "import nas; print(nas.load_model('toy/best.json'))\""""
    assert re.fullmatch(r"formfinder pick toy constraints\.latency_ms=[\d.]+", pick.line)
    assert other.line == "formfinder search supernet=toy hardware=cpu_torch"


def test_an_older_report_survives_a_full_disk(folder, monkeypatch):
    folder.report.write_text("old")

    def full(*args: Any, **kwargs: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_report(folder)
    assert folder.report.read_text() == "old"
