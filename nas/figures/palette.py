"""Colours that colour-blind people tell apart (Okabe & Ito, 2008), and what stands for what."""

from __future__ import annotations

import hashlib
import re

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

INK = "#1f2933"
MUTED = "#52606d"
FAINT = "#b8c1cb"
GRID = "#e8ecf0"
PAPER = "#ffffff"

SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK)
"""One colour a run, in this order."""

DEPTH = ((0.0, "#a6cee3"), (0.35, "#4a9bc9"), (0.7, "#0b5d96"), (1.0, "#08264a"))
"""Light to dark of one hue: order survives any colour vision, and print."""

_FIXED = {"softmax": BLUE, "window": ORANGE, "hilo": GREEN, "separable": PURPLE}
_OTHERS = (SKY, VERMILLION, YELLOW, GREEN, PURPLE, ORANGE, BLUE)
_PATTERNS = ("/", "x", ".", "-", "+", "\\")


def op_colour(op: str) -> str:
    """The colour of an operator: always the same for the same name, known or plugged in."""
    if op == "none":
        return FAINT
    return _FIXED.get(op) or _OTHERS[_hash(op) % len(_OTHERS)]


def op_pattern(op: str) -> str:
    """A pattern beside the colour, as there are more operators than colours; "" for known ones."""
    if op in _FIXED or op == "none":
        return ""
    return _PATTERNS[_hash(op) // len(_OTHERS) % len(_PATTERNS)]


def op_code(op: str) -> str:
    """Two letters, as chemists write elements: ``softmax`` is So, ``linear_angular`` is La."""
    if op == "none":
        return "–"
    words: list[str] = re.findall(r"[A-Za-z0-9]+", op) or ["?"]
    letters = words[0][0] + (words[1][0] if len(words) > 1 else words[0][1:2])
    return letters[0].upper() + letters[1:].lower()


def on_colour(colour: str) -> str:
    """Black or white, whichever reads better on ``colour`` (WCAG relative luminance)."""
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return PAPER if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else INK


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:4], "big")
