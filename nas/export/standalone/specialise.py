"""A function's source with everything worked out that one network fixes.

Operators are written for every setting; a model needs one. ``Specialiser`` takes the source of an
operator's ``forward`` and of whatever it calls, puts known values in, follows the branches they
decide and drops what is left without use. What remains reads as if it had been written for this
model, and cannot drift from the operator: it is its source.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from nas.export.standalone.folding import Folder, Renamed, is_none, parameters, source_of
from nas.export.standalone.tidying import loaded

_ANNOTATIONS = {
    "Tensor",
    "int",
    "float",
    "bool",
    "str",
    "tuple",
    "list",
    "None",
    "Tokens",
    "Weights",
}


@dataclass(frozen=True, slots=True)
class Made:
    """A specialised function.

    Attributes:
        name: in the file; "" where no call is left of it.
        params: which of the original parameters it still has.
        passes: the parameter that it returns unchanged, or None.
        constant: what it always returns, as ``(value,)``, or None.
        returns: True where it never returns None.
        pair: whether it returns a tuple.
    """

    name: str
    params: tuple[str, ...]
    passes: str | None
    constant: tuple[Any, ...] | None
    returns: bool
    pair: bool


class Specialiser:
    """Collects the functions of one file.

    Args:
        reserved: names that helpers must not take.

    Attributes:
        functions: their source by name, callees first.
        classes: names and source of small classes they use.
        imports: import lines they need.
        made: what was specialised so far.
    """

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self.reserved = reserved
        self.functions: dict[str, ast.FunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.imports: set[str] = set()
        self.made: dict[Any, Made] = {}

    def make(
        self,
        function: Callable[..., Any],
        known: Mapping[str, Any],
        name: str,
        doc: str = "",
        *,
        first: bool = False,
    ) -> Made:
        """Specialise a function for known arguments.

        Args:
            function: a function, or a method that was bound.
            known: values by parameter.
            name: what to call it.
            doc: its documentation; its own first paragraph where empty.
            first: keep only the first of the values it returns.
        """
        owner = getattr(function, "__self__", None)
        plain = inspect.unwrap(getattr(function, "__func__", function))
        names = list(inspect.signature(plain).parameters)
        bound = {**({names[0]: owner} if owner is not None else {}), **known}
        key = (plain, first, repr(sorted((k, repr(v)) for k, v in bound.items())))
        if key not in self.made:
            self.made[key] = self._new(plain, bound, name, doc, first)
        return self.made[key]

    def _new(self, plain: Any, bound: dict[str, Any], name: str, doc: str, first: bool) -> Made:
        tree = source_of(plain)
        own_doc = ast.get_docstring(tree) or ""
        folder = Folder(self, tree, bound, plain, name)
        folder.run(first)
        params = [a for a in parameters(tree) if a.arg in loaded(tree.body)]
        kept = tuple(a.arg for a in params)
        only = tree.body[0] if len(tree.body) == 1 else None
        returned = only.value if isinstance(only, ast.Return) else None
        results = [n.value for n in ast.walk(tree) if isinstance(n, ast.Return)]
        constant = (returned.value,) if isinstance(returned, ast.Constant) else None
        passes = returned.id if isinstance(returned, ast.Name) else None
        if constant is not None or passes is not None:
            return Made("", kept, passes, constant, True, False)
        for line in folder.imports():
            self.imports.add(line)
        tree.name = name
        tree.args = ast.arguments([], params, None, [], [], None, [])
        tree.decorator_list = []
        tree.returns = _annotation("Tensor" if first else _text(tree.returns))
        for parameter in params:
            if parameter.arg == "self":  # a method of the state
                tree.body = [
                    Renamed("self", ast.Name("state", ast.Load())).visit(s) for s in tree.body
                ]
                parameter.arg, parameter.annotation = "state", ast.Name("Tokens", ast.Load())
            parameter.annotation = _annotation(_text(parameter.annotation))
        text = " ".join((doc or own_doc.split("\n\n")[0]).split())
        if text:
            tree.body.insert(0, ast.Expr(ast.Constant(text)))
        return Made(
            self._placed(tree),
            kept,
            None,
            None,
            all(value is not None and not is_none(value) for value in results),
            any(isinstance(value, ast.Tuple) for value in results),
        )

    def _placed(self, tree: ast.FunctionDef) -> str:
        """Keep one copy of equal functions; a different one of the same name is numbered."""
        base, number = tree.name, 1
        while tree.name in self.functions:
            if ast.dump(self.functions[tree.name]) == ast.dump(tree):
                return tree.name
            number += 1
            tree.name = f"{base}_{number}"
        self.functions[tree.name] = ast.fix_missing_locations(tree)
        return tree.name


def _text(node: ast.expr | None) -> str:
    return "" if node is None else ast.unparse(node).replace("TokenState", "Tokens")


def _annotation(text: str) -> ast.expr | None:
    if not text:
        return None
    tree = ast.parse(text, mode="eval").body
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return tree if names <= _ANNOTATIONS else None
