"""Index arithmetic that operators do in NumPy, in torch: the file needs no NumPy then."""

from __future__ import annotations

import ast
from typing import Any

_SAME = {"arange", "stack", "concatenate", "where", "abs", "minimum", "maximum", "zeros", "ones"}
_AS_IS = {"asarray", "array", "ascontiguousarray"}
_RENAMED = {"concatenate": "cat"}


class NumpyToTorch(ast.NodeTransformer):
    """Rewrites calls of ``np``; those it does not know stay."""

    def visit_Call(self, node: ast.Call) -> Any:
        """One call."""
        self.generic_visit(node)
        name = _numpy_name(node.func)
        if name in _AS_IS and node.args:
            return node.args[0]
        if name == "divmod" and len(node.args) == 2:
            first, second = node.args
            whole = ast.BinOp(first, ast.FloorDiv(), second)
            return ast.Tuple([whole, ast.BinOp(first, ast.Mod(), second)], ast.Load())
        if name in _SAME:
            node.func = _torch(_RENAMED.get(name, name))
        elif _torch_name(node.func) == "from_numpy":
            return node.args[0]
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            return ast.Call(ast.Attribute(node.func.value, "to", ast.Load()), node.args, [])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Types of numbers."""
        self.generic_visit(node)
        return _torch(node.attr) if _numpy_name(node) in ("int64", "float32") else node


def _numpy_name(node: ast.AST) -> str:
    inside = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return node.attr if inside and node.value.id == "np" else ""  # type: ignore[attr-defined]


def _torch_name(node: ast.AST) -> str:
    inside = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return node.attr if inside and node.value.id == "torch" else ""  # type: ignore[attr-defined]


def _torch(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name("torch", ast.Load()), name, ast.Load())
