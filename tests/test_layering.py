"""Imports point one way: search_spaces ← supernet ← nas. conf only chooses."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"conf", "nas", "search_spaces", "supernet"}
HEAVY = {"hydra", "onnx", "onnxruntime", "onnxscript", "optuna", "plotly", "ray", "scipy"} | {
    "mlflow",
    "sklearn",
    "tensorboard",
    "timm",
    "torch",
    "torchvision",
    "wandb",
}
MAY_IMPORT = {
    "search_spaces": {"search_spaces"},
    "supernet": {"search_spaces", "supernet"},
    "nas": {"conf", "nas", "search_spaces", "supernet"},
    "conf": set(),
}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def violations(source: str, package: str) -> list[str]:
    return [
        f"{line}: {name}"
        for line, name in imports(ast.parse(source))
        if name in OURS and name not in MAY_IMPORT[package]
    ]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_point_one_way(package):
    found = {
        str(path.relative_to(ROOT)): violations(path.read_text(encoding="utf-8"), package)
        for path in modules(package)
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_planted_violation_is_found():
    assert violations("def f():\n    from nas.config import RunConfig\n", "supernet") == ["2: nas"]
    assert violations("import supernet.model\n", "search_spaces") == ["1: supernet"]


def test_search_spaces_needs_neither_torch_nor_anything_heavy():
    heavy = {
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules("search_spaces")
        for line, name in imports(parsed(path))
        if name in HEAVY
    }
    assert heavy == set()


def test_conf_holds_no_code():
    statements = [
        node
        for path in modules("conf")
        for node in parsed(path).body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert statements == []


def _loaded_after(code: str) -> set[str]:
    """The heavy packages that a fresh process has loaded after ``code``."""
    script = f"{code}\nimport sys\nprint(*sorted(set(sys.modules) & {HEAVY!r}), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


def test_the_configuration_is_declared_without_anything_heavy():
    assert _loaded_after("import nas.config, nas.config.schema, nas.hardware.profile") == set()


def test_what_only_reads_runs_needs_no_torch():
    readers = "nas.front, nas.run_folder, nas.evaluation, nas.config.store, search_spaces.space"
    assert _loaded_after(f"import {readers}") == set()


def test_package_inits_import_nothing_heavy():
    packages = sorted(
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in OURS
        for path in (ROOT / package).rglob("__init__.py")
    )
    assert _loaded_after(f"import {', '.join(packages)}") == set()
