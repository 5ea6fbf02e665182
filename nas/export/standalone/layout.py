"""Source text: lines of at most 100 characters, double quotes, docstrings as people write them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping

WIDTH = 100


def laid_out(tree: ast.stmt | str) -> str:
    """A definition as text."""
    lines = tree.splitlines() if isinstance(tree, str) else _documented(ast.unparse(tree), tree)
    return "\n".join(piece for line in lines for piece in _folded(line))


def _documented(text: str, tree: ast.stmt) -> list[str]:
    doc = ast.get_docstring(tree) if isinstance(tree, ast.FunctionDef | ast.ClassDef) else None
    lines = _quoted(text)
    if doc is None:
        return lines
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith('"""'))
    stop = next(i for i in range(start, len(lines)) if lines[i].rstrip().endswith('"""'))
    flat = " ".join(doc.split())
    made = textwrap.wrap(f'    """{flat}"""', WIDTH - 1, subsequent_indent="    ")
    if len(made) > 1:
        made[-1] = made[-1].removesuffix('"""')
        made = [line for line in made if line.strip()] + ['    """']
    gap = [""] if isinstance(tree, ast.ClassDef) else []
    return [*lines[:start], *made, *gap, *lines[stop + 1 :]]


def _quoted(text: str) -> list[str]:
    """``'`` → ``"`` around plain words, as the rest of the file has it."""
    lines = []
    for line in text.splitlines():
        parts = line.split("'")
        plain = len(parts) % 2 == 1 and '"' not in line and "\\" not in line
        lines.append(_bare('"'.join(parts) if plain else line))
    return lines


def _bare(line: str) -> str:
    """``return (a, b)`` → ``return a, b``, and the same behind ``=``."""
    for word in ("return ", " = "):
        head, found, rest = line.partition(word)
        if found and rest.startswith("(") and _outer_bracket(rest) == (0, len(rest) - 1):
            inside = rest[1:-1]
            if len(_split(inside)) > 1 and " for " not in inside:
                return f"{head}{word}{inside}"
    return line


def _folded(line: str) -> list[str]:
    """A line that is too long, broken at the commas of its outermost brackets."""
    if len(line) <= WIDTH or line.lstrip().startswith(('"""', "#")):
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    opened = _outer_bracket(line)
    if opened is None:
        return [line]
    start, stop = opened
    inside, tail = line[start + 1 : stop], line[stop:]
    comma = "" if " for " in inside and len(_split(inside)) == 1 else ","
    pieces = [f"{indent}    {piece.strip()}{comma}" for piece in _split(inside)]
    whole = f"{indent}    {inside.strip()}"
    if len(whole) < WIDTH and not comma:
        pieces = [whole]
    return [
        line[: start + 1],
        *(part for piece in pieces for part in _folded(piece)),
        f"{indent}{tail}",
    ]


def _outer_bracket(line: str) -> tuple[int, int] | None:
    """The bracket that closes last on the line: the longest one at the outermost level."""
    depth, start, best = 0, 0, None
    for index, sign in enumerate(line):
        if sign in "([{":
            start = index if depth == 0 else start
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth == 0 and (best is None or index - start > best[1] - best[0]):
                best = (start, index)
    return best


def _split(text: str) -> list[str]:
    """At commas outside brackets."""
    parts, depth, start = [], 0, 0
    for index, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


def shapes_call(head: str, shapes: Mapping[str, tuple[int, ...]], indent: int) -> list[str]:
    """``self.mlp = Weights(fc1_weight=(64, 32), …)``, folded by pairs of weight and bias."""
    pad = " " * indent
    words = [f"{name}={shape}" for name, shape in shapes.items()]
    one = f"{pad}{head}({', '.join(words)})"
    if len(one) <= WIDTH:
        return [one]
    rows = textwrap.wrap(", ".join(w.replace(" ", "~") for w in words), WIDTH - indent - 5)
    body = [f"{pad}    {row.replace('~', ' ')}" for row in rows]
    body[-1] += ","
    return [f"{pad}{head}(", *body, f"{pad})"]
