"""What specialising leaves behind, swept up: values nobody reads."""

from __future__ import annotations

import ast


def loaded(body: list[ast.stmt]) -> set[str]:
    """Names that are read."""
    return {
        node.id
        for node in ast.walk(ast.Module(body, []))
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    }


def stored(body: list[ast.stmt]) -> set[str]:
    """Names that are assigned."""
    return {
        node.id
        for node in ast.walk(ast.Module(body, []))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def tidy(body: list[ast.stmt]) -> list[ast.stmt]:
    """Without assignments that nothing reads, or that the next one overwrites."""
    read = loaded(body)
    left = []
    for index, statement in enumerate(body):
        names = _targets(statement)
        if names and not names & read:
            continue
        if len(names) == 1 and _overwritten(next(iter(names)), body[index + 1 :]):
            continue
        for block in ("body", "orelse"):
            inner = getattr(statement, block, None)
            if isinstance(inner, list) and inner and isinstance(statement, ast.If):
                setattr(
                    statement,
                    block,
                    [s for s in inner if not _dead(s, read)]
                    or ([ast.Pass()] if block == "body" else []),
                )
        left.append(statement)
    return left


def _dead(statement: ast.stmt, read: set[str]) -> bool:
    names = _targets(statement)
    return bool(names) and not names & read


def _targets(statement: ast.stmt) -> set[str]:
    """The names of a plain assignment; none of anything else."""
    if not isinstance(statement, ast.Assign):
        return set()
    whole = ast.walk(statement.targets[0])
    nodes = [n for n in whole if not isinstance(n, ast.Tuple | ast.Store | ast.Load)]
    return (
        {n.id for n in nodes if isinstance(n, ast.Name)}
        if all(isinstance(n, ast.Name) for n in nodes)
        else set()
    )


def _overwritten(name: str, following: list[ast.stmt]) -> bool:
    for statement in following:
        if name in loaded([statement]):
            return False
        if _targets(statement) == {name}:
            return True
        if name in stored([statement]):
            return False
    return False


def without_aliases(body: list[ast.stmt], params: set[str]) -> list[ast.stmt]:
    """With ``a = b`` gone where neither is ever assigned again: a is called b."""
    counts: dict[str, int] = dict.fromkeys(params, 1)
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            counts[node.id] = counts.get(node.id, 0) + 1
    names: dict[str, str] = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name):
            target, value = statement.targets[0], statement.value.id
            if isinstance(target, ast.Name) and counts[target.id] == counts.get(value, 0) == 1:
                names[target.id] = names.get(value, value)
    left = [s for s in body if not (_targets(s) and _targets(s) <= names.keys())]
    for node in ast.walk(ast.Module(left, [])):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return left
