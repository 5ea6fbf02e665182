"""What is known of a network before it runs, and expressions of source code worked out with it."""

from __future__ import annotations

import ast
import builtins
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PROJECT = ("supernet", "search_spaces", "nas", "formfinder_plugin_")
LITERALS = (type(None), bool, int, float, str)
_FOLDED = {"min", "max", "round", "int", "float", "len", "abs", "bool"}

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


@dataclass(frozen=True, slots=True)
class KnownState:
    """The part of a ``TokenState`` that a network fixes at one place.

    Attributes:
        special, grid, tokens: as there; tokens None where it is not known.
        sized: whether tokens stand for different numbers of patches.
    """

    special: int
    grid: tuple[int, int] | None
    tokens: int
    sized: bool


@dataclass(frozen=True, slots=True)
class KnownShape:
    """A tensor of which some axes are known; the others are None."""

    shape: tuple[int | None, ...]


class NotNone:
    """A value of which only this is known."""

    def __repr__(self) -> str:
        return "NotNone()"


class Unknown(Exception):  # noqa: N818  # no error: the answer of an expression that has to wait
    """An expression whose value only a run tells."""


def is_literal(value: Any) -> bool:
    """Whether a value can be written into source as it is."""
    if isinstance(value, tuple):
        return all(map(is_literal, value))
    return isinstance(value, LITERALS)


def of_project(value: Any) -> bool:
    """Whether a function or class is ours or a plug-in's: its source may be carried along."""
    module = getattr(inspect.unwrap(value) if callable(value) else value, "__module__", None)
    return isinstance(module, str) and (
        module.split(".")[0] in PROJECT[:3] or module.startswith(PROJECT[3])
    )


class Values:
    """Values of expressions.

    Args:
        names: local names with their values.
        local: all local names; those without a value hide globals.
        globals_: of the module where the source stands.
    """

    def __init__(
        self, names: Mapping[str, Any], local: set[str], globals_: Mapping[str, Any]
    ) -> None:
        self.names, self.local, self.globals = names, local, globals_

    def of(self, node: ast.AST) -> Any:
        """The value of an expression.

        Raises:
            Unknown: it has to wait for a run.
        """
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise Unknown
        return method(node)

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            return self.names[node.id]
        if node.id in self.local:
            raise Unknown
        if node.id in self.globals:
            return self.globals[node.id]
        if hasattr(builtins, node.id):
            return getattr(builtins, node.id)
        raise Unknown

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple(self.of(element) for element in node.elts)

    def _attribute(self, node: ast.Attribute) -> Any:
        base = self.of(node.value)
        if isinstance(base, KnownState):
            return state_field(base, node.attr)
        if isinstance(base, NotNone) or (isinstance(base, KnownShape) and node.attr != "shape"):
            raise Unknown
        try:
            return getattr(base, node.attr)
        except AttributeError:
            raise Unknown from None

    def _subscript(self, node: ast.Subscript) -> Any:
        base, index = self.of(node.value), self.of(node.slice)
        if isinstance(base, KnownState | KnownShape | NotNone):
            raise Unknown
        try:
            value = base[index]
        except (KeyError, IndexError, TypeError):
            raise Unknown from None
        if value is None and isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            raise Unknown
        return value

    def _binop(self, node: ast.BinOp) -> Any:
        return self._plain(_BINARY, node.op, self.of(node.left), self.of(node.right))

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        return self._plain(_UNARY, node.op, self.of(node.operand))

    def _compare(self, node: ast.Compare) -> Any:
        if len(node.ops) != 1:
            raise Unknown
        left, right = self.of(node.left), self.of(node.comparators[0])
        if isinstance(left, NotNone | KnownState | KnownShape):
            if right is None and isinstance(node.ops[0], ast.Is | ast.IsNot):
                return isinstance(node.ops[0], ast.IsNot)
            raise Unknown
        return self._plain(_COMPARE, node.ops[0], left, right)

    def _boolop(self, node: ast.BoolOp) -> Any:
        value = None
        for part in node.values:
            value = self.of(part)
            if isinstance(value, NotNone | KnownState | KnownShape):
                raise Unknown
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.of(node.body if self.of(node.test) else node.orelse)

    def _call(self, node: ast.Call) -> Any:
        if hasattr(node, "made"):
            raise Unknown
        function = self.of(node.func)
        if not (of_project(function) or getattr(function, "__name__", "") in _FOLDED):
            raise Unknown
        if isinstance(function, type) and of_project(function):
            raise Unknown
        arguments = [self.of(argument) for argument in node.args]
        named = {str(keyword.arg): self.of(keyword.value) for keyword in node.keywords}
        if any(keyword.arg is None for keyword in node.keywords) or any(
            isinstance(value, NotNone | KnownState | KnownShape)
            for value in [*arguments, *named.values()]
        ):
            raise Unknown
        try:
            value = function(*arguments, **named)
        except Exception:
            raise Unknown from None
        if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            value = value.item()
        if not is_literal(value):
            raise Unknown
        return value

    @staticmethod
    def _plain(table: Mapping[type, Any], op: ast.AST, *values: Any) -> Any:
        if type(op) not in table or any(
            isinstance(value, NotNone | KnownState | KnownShape) for value in values
        ):
            raise Unknown
        return table[type(op)](*values)


def state_field(state: KnownState, name: str) -> Any:
    """A field of a token state, where the network fixes it.

    Raises:
        Unknown: it holds tensors.
    """
    if name in ("parent_BP", "centres_BN2"):  # nobody tracks tokens in use
        return None
    if name == "size_BN1" and not state.sized:
        return None
    if name == "size_BN1":
        return NotNone()
    if name in ("special", "grid", "tokens"):
        return getattr(state, name)
    raise Unknown
