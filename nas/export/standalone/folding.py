"""Working a function's syntax tree out: values in, decided branches followed, the rest dropped."""

from __future__ import annotations

import ast
import contextlib
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from nas.export.standalone.known import (
    KnownShape,
    KnownState,
    NotNone,
    Unknown,
    Values,
    is_literal,
    of_project,
)
from nas.export.standalone.numpy_to_torch import NumpyToTorch
from nas.export.standalone.tidying import loaded, stored, tidy
from supernet.tokens import TokenState

if TYPE_CHECKING:
    from nas.export.standalone.specialise import Specialiser


def source_of(function: Any) -> ast.FunctionDef:
    """The syntax tree of a function's source, without decorators' effects."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return tree


def parameters(tree: ast.FunctionDef) -> list[ast.arg]:
    """Its parameters, however they are passed."""
    return [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]


def is_none(node: ast.AST) -> bool:
    """Whether it is the word ``None``."""
    return isinstance(node, ast.Constant) and node.value is None


class Folder(ast.NodeTransformer):
    """Works one function out."""

    def __init__(
        self, home: Specialiser, tree: ast.FunctionDef, bound: dict[str, Any], plain: Any, name: str
    ) -> None:
        self.home, self.tree, self.name = home, tree, name
        self.globals = plain.__globals__
        self.env = dict(bound)
        self.local = {a.arg for a in parameters(tree)} | stored(tree.body)

    def run(self, first: bool) -> None:
        """Until nothing changes any more."""
        body, before = self.tree.body, ""
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]
        while (now := "\n".join(map(ast.dump, body))) != before:
            before, env = now, dict(self.env)
            self.counts = _counts(body)
            body = tidy(self.block(body))
            self.env = {k: v for k, v in env.items() if k not in self.counts} | {
                k: v for k, v in self.env.items() if self.counts.get(k, 0) == 1
            }
            if first:
                for node in ast.walk(ast.Module(body, [])):
                    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                        node.value = node.value.elts[0]
        self.tree.body = [NumpyToTorch().visit(statement) for statement in body]

    def imports(self) -> list[str]:
        """Import lines for the globals that are left; classes of ours are carried along."""
        lines = []
        for name in sorted(loaded(self.tree.body) - self.local - set(self.home.functions)):
            value = self.globals.get(name)
            if value is None:
                continue
            if inspect.ismodule(value):
                lines.append(_import_module(value.__name__, name))
            elif isinstance(value, type) and of_project(value):
                self._carry(value)
            elif not of_project(value):
                lines.append(f"from {value.__module__} import {name}")
        return lines

    def _carry(self, kind: type) -> None:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(tree, ast.ClassDef)
        doc = (ast.get_docstring(tree) or "").split("\n\n")[0]
        tree.body = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
        tree.body.insert(0, ast.Expr(ast.Constant(doc)))
        self.home.classes[kind.__name__] = tree
        self.home.imports.add("from dataclasses import dataclass")

    # -- statements ---------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The statements that are left."""
        left: list[ast.stmt] = []
        for statement in statements:
            left += self._statement(statement)
            if left and isinstance(left[-1], ast.Return):
                break
        return left

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.Assert | ast.Delete):
            return []
        if isinstance(node, ast.If):
            return self._if(node)
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            node = ast.Assign([node.target], node.value)
        if isinstance(node, ast.Assign):
            return [left for part in self._split(node) for left in self._assign(part)]
        if isinstance(node, ast.For | ast.While | ast.With):
            for name in stored([node]):
                self.env.pop(name, None)
            if isinstance(node, ast.For):
                node.iter = self.visit(node.iter)
            node.body = self.block(node.body)
            return [node]
        changed = self.visit(node)
        return [changed] if isinstance(changed, ast.stmt) else []

    def _split(self, node: ast.Assign) -> list[ast.Assign]:
        """``a, b = 1, x`` as two statements, where one of them will go."""
        target, value = node.targets[0], node.value
        if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)):
            return [node]
        if len(target.elts) != len(value.elts) or stored([node]) & loaded([ast.Expr(value)]):
            return [node]
        if not any(self._is_literal(element) for element in value.elts):
            return [node]
        pairs = zip(target.elts, value.elts, strict=True)
        return [ast.Assign([name], element) for name, element in pairs]

    def _is_literal(self, node: ast.AST) -> bool:
        try:
            return is_literal(self._value(node))
        except Unknown:
            return False

    def _if(self, node: ast.If) -> list[ast.stmt]:
        node.test = self.visit(node.test)
        try:
            return self.block(node.body if self._value(node.test) else node.orelse)
        except Unknown:
            pass
        env = dict(self.env)
        node.body = self.block(node.body) or [ast.Pass()]
        self.env = dict(env)
        node.orelse = self.block(node.orelse)
        changed = stored([node])
        self.env = {name: value for name, value in env.items() if name not in changed}
        return [node]

    def _assign(self, node: ast.Assign) -> list[ast.stmt]:
        node.value = self.visit(node.value)
        target = node.targets[0]
        if isinstance(target, ast.Name):
            if isinstance(node.value, ast.Name) and node.value.id == target.id:
                return []
            if self.counts.get(target.id) == 1:
                try:
                    value = self._value(node.value)
                except Unknown:
                    if self._never_none(node.value):
                        self.env[target.id] = NotNone()
                    return [node]
                if not isinstance(value, NotNone | KnownShape | KnownState):
                    self.env[target.id] = value
                    return []
            self.env.pop(target.id, None)
            return [node]
        if isinstance(target, ast.Tuple) and all(isinstance(e, ast.Name) for e in target.elts):
            names = [e.id for e in target.elts if isinstance(e, ast.Name)]
            try:
                values = self._value(node.value)
            except Unknown:
                values = None
            if isinstance(values, tuple) and all(self.counts.get(name) == 1 for name in names):
                self.env |= dict(zip(names, values, strict=True))
                return []
            for name in names:
                self.env.pop(name, None)
        return [node]

    # -- expressions --------------------------------------------------------------------------

    def _value(self, node: ast.AST) -> Any:
        return Values(self.env, self.local, self.globals).of(node)

    def _never_none(self, node: ast.AST) -> bool:
        """Tensor methods, products and our functions that always return something."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            made = {m.name: m for m in self.home.made.values() if m.name}
            return node.func.id in made and made[node.func.id].returns
        return isinstance(node, ast.BinOp | ast.Call | ast.Subscript)

    def visit(self, node: ast.AST) -> Any:
        """Put a value in wherever there is one."""
        changed = super().visit(node)
        if isinstance(changed, ast.expr) and not isinstance(changed, ast.Constant):
            if isinstance(getattr(changed, "ctx", None), ast.Store):
                return changed
            try:
                value = self._value(changed)
            except Unknown:
                return changed
            if is_literal(value):
                return ast.parse(repr(value), mode="eval").body
        return changed

    def _scoped(self, node: Any) -> Any:
        hidden = {
            n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)
        }
        env, local = self.env, self.local
        self.env = {name: value for name, value in env.items() if name not in hidden}
        self.local = local | hidden
        try:
            return self.generic_visit(node)
        finally:
            self.env, self.local = env, local

    visit_GeneratorExp = visit_ListComp = visit_SetComp = visit_DictComp = _scoped

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        node.test = self.visit(node.test)
        try:
            return self.visit(node.body if self._value(node.test) else node.orelse)
        except Unknown:
            return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        parts = []
        for part in node.values:
            part = self.visit(part)
            try:
                decided = bool(self._value(part)) is isinstance(node.op, ast.Or)
            except Unknown:
                parts.append(part)
                continue
            if decided:
                parts.append(part)
                break
        return ast.BoolOp(node.op, parts) if len(parts) > 1 else (parts or [part])[0]

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self.generic_visit(node)
        with contextlib.suppress(Unknown):
            if is_literal(self._value(node)):
                return node  # ``visit`` puts the value in
        member = getattr(TokenState, node.attr, None)
        if not (isinstance(member, property) and self._is_state(node.value)):
            return node
        body = source_of(member.fget).body[-1]
        assert isinstance(body, ast.Return)
        assert body.value is not None
        return self.visit(Renamed("self", node.value).visit(body.value))

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if hasattr(node, "made"):
            return node
        with contextlib.suppress(Unknown):
            self._value(node)
            return node
        if isinstance(node.func, ast.Attribute) and self._is_state(node.func.value):
            if node.func.attr == "_replace":
                return node
            if node.func.attr == "but":
                return self._but(node)
            method = getattr(TokenState, node.func.attr)
            return self._call(method, [node.func.value, *node.args], node)
        try:
            function = self._value(node.func)
        except Unknown:
            return node
        if not of_project(function):  # attn_mask=None says nothing to torch
            node.keywords = [k for k in node.keywords if not is_none(k.value)]
        plain = inspect.unwrap(getattr(function, "__func__", function))
        if not (inspect.isfunction(plain) and of_project(plain)):
            return node
        return self._call(function, node.args, node)

    def _is_state(self, node: ast.AST) -> bool:
        try:
            return isinstance(self._value(node), KnownState)
        except Unknown:
            return False

    def _but(self, node: ast.Call) -> Any:
        """``state.but(x_BND=..., grid=...)`` → what holds tensors stays."""
        kept = [k for k in node.keywords if k.arg in ("x_BND", "size_BN1")]
        kept = [k for k in kept if not is_none(k.value)]
        assert isinstance(node.func, ast.Attribute)
        if not kept:
            return node.func.value
        replace = ast.Attribute(node.func.value, "_replace", ast.Load())
        return ast.Call(replace, [], kept)

    def _call(self, function: Any, arguments: list[ast.expr], node: ast.Call) -> Any:
        plain = inspect.unwrap(getattr(function, "__func__", function))
        signature = inspect.signature(function if hasattr(function, "__self__") else plain)
        kinds = {p.kind for p in signature.parameters.values()}
        if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} or any(
            isinstance(argument, ast.Starred) for argument in arguments
        ):
            raise NotImplementedError(f"{plain.__qualname__}: its call cannot be specialised")
        named = {k.arg: k.value for k in node.keywords if k.arg}
        given = signature.bind(*arguments, **named).arguments
        known = {p.name: p.default for p in signature.parameters.values() if p.name not in given}
        for name, argument in given.items():
            try:
                value = self._value(argument)
            except Unknown:
                if self._never_none(argument):
                    known[name] = NotNone()
                continue
            if not is_literal(value) or value is None or isinstance(value, bool | str | float):
                known[name] = value
        name = plain.__name__.strip("_")
        if name in self.home.reserved:
            name = f"{name}_core"
        if getattr(function, "__self__", None) is not None:
            name = f"{self.name.split('_')[0]}_{name}"
        made = self.home.make(function, known, name)
        if made.constant is not None:
            return ast.Constant(made.constant[0])
        if made.passes is not None and made.passes in given:
            return given[made.passes]
        kept = [given[p] for p in made.params if p in given]
        made_call = ast.Call(ast.Name(made.name, ast.Load()), kept, [])
        made_call.made = True  # type: ignore[attr-defined]  # the name is no longer a global's
        return made_call


class Renamed(ast.NodeTransformer):
    """A name replaced by an expression."""

    def __init__(self, name: str, by: ast.expr) -> None:
        self.name, self.by = name, by

    def visit_Name(self, node: ast.Name) -> Any:
        return self.by if node.id == self.name else node


def _counts(body: list[ast.stmt]) -> dict[str, int]:
    """How often each name is assigned."""
    counts: dict[str, int] = {}
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            counts[node.id] = counts.get(node.id, 0) + 1
    return counts


def _import_module(module: str, name: str) -> str:
    parent, _, last = module.rpartition(".")
    if name == module:
        return f"import {module}"
    return f"from {parent} import {last} as {name}" if parent else f"import {module} as {name}"
