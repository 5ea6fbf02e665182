"""Who may open the test split: the exporter, nobody else. Read off the source."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# The exporter; and the data package, which defines the door.
MAY_OPEN = ("nas/export/", "nas/data/dataset.py")
DOORS = {"open_test", "sealed_test"}


def openings(source: str) -> list[int]:
    """Lines that reach for the test split by attribute or by name as text."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in DOORS)
        or (isinstance(node, ast.Constant) and node.value in DOORS)
    ]


def test_only_the_exporter_opens_the_test_split():
    found = {}
    for package in ("nas", "supernet", "search_spaces"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            lines = openings(path.read_text(encoding="utf-8"))
            if lines and not name.startswith(MAY_OPEN):
                found[name] = lines
    assert found == {}


def test_the_check_sees_calls_and_getattr():
    assert openings("dataset.open_test('a')") == [1]
    assert openings("x = 1\ngetattr(dataset, 'sealed_test')") == [2]
    assert openings("dataset.val") == []
