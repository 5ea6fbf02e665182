"""Where tokens never merge, the state between layers is the tensor itself."""

from __future__ import annotations

import ast
from typing import Any

from nas.export.standalone.tidying import stored, without_aliases


class _Plain(ast.NodeTransformer):
    """``state.x_BND`` and ``state`` → ``x_BND``; ``state._replace(x_BND=y)`` → ``y``."""

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "_replace":
            return node.keywords[0].value
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id in ("state", "self_state"):
            return ast.Name("x_BND", node.ctx) if node.attr == "x_BND" else self.generic_visit(node)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Name("x_BND", node.ctx) if node.id == "state" else node


def plainer(function: ast.FunctionDef) -> ast.FunctionDef:
    """A function of a state as a function of its tensor."""
    for argument in function.args.args:
        if argument.arg == "state":
            if "x_BND" in stored(function.body):  # a variable of its own beside the state's
                _rename(function, "x_BND", "new_BND")
            argument.arg, argument.annotation = "x_BND", ast.Name("Tensor", ast.Load())
    if isinstance(function.returns, ast.Name) and function.returns.id == "Tokens":
        function.returns = ast.Name("Tensor", ast.Load())
    function.body = [
        statement
        for statement in (_Plain().visit(statement) for statement in function.body)
        if not _idle(statement)
    ]
    function.body = without_aliases(function.body, {a.arg for a in function.args.args})
    return ast.fix_missing_locations(function)


def _rename(function: ast.FunctionDef, name: str, by: str) -> None:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = by


def plain_text(text: str) -> str:
    """The same for statements."""
    function = ast.parse(_in_function(text)).body[0]
    assert isinstance(function, ast.FunctionDef)
    lines = [ast.unparse(_Plain().visit(statement)) for statement in function.body]
    return "\n".join("" if line == "x_BND = x_BND" else line for line in lines)


def _in_function(text: str) -> str:
    """``return`` may stand in a function only."""
    return "def f():\n" + "\n".join(f"    {line}" for line in text.splitlines())


def _idle(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Name)
        and isinstance(node.targets[0], ast.Name)
        and node.value.id == node.targets[0].id
    )
