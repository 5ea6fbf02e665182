"""Text and numbers from files, made fit to be shown."""

from __future__ import annotations

import html
import math
import unicodedata

MAX_CHARACTERS = 200
_SHARES = ("accuracy", "mape", "share")


def cleaned(text: object, limit: int = MAX_CHARACTERS) -> str:
    """``text`` without characters that are invisible or turn the line around, and not too long.

    Lone surrogates, which JSON can hold and UTF-8 cannot, go too.
    """
    kept = "".join(
        character
        for character in str(text)[: 2 * limit]
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )
    return kept if len(kept) <= limit else f"{kept[: limit - 1]}…"


def plain(text: object, limit: int = MAX_CHARACTERS) -> str:
    """``text`` for a plotly label, which otherwise reads tags and links in it."""
    return html.escape(cleaned(text, limit), quote=False)


def finite(value: object) -> float | None:
    """A number that can be drawn, or None for whatever else a file holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def significant(value: float) -> str:
    """Three significant digits, never an exponent for what people count: ``1,230``."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-3 or value == 0 else f"{value:.2g}"


def percent(share: float, digits: int = 1) -> str:
    """``97.2 %``."""
    return f"{100 * share:.{digits}f} %"


def counted(value: float) -> str:
    """A count people can read aloud: ``54.3 k``, ``1.20 M``."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:#.3g}".rstrip(".") + f" {letter}"
    return f"{value:g}"


def shown_range(metric: str, low: object, high: object, unit: str = "") -> str:
    """``87.1–93.2 %``; "" where an end is missing."""
    first, last = shown(metric, low, unit), shown(metric, high, unit)
    if "–" in (first, last):
        return ""
    number, _, suffix = first.partition(" ")
    return f"{number}–{last}" if last.endswith(suffix) else f"{first}–{last}"


def shown(metric: str, value: object, unit: str = "") -> str:
    """The value of a metric with its unit, ``–`` where there is none."""
    number = finite(value)
    if number is None:
        return "–"
    if any(word in metric for word in _SHARES):
        return percent(number)
    if metric in ("params", "macs"):
        return counted(number)
    return f"{significant(number)} {plain(unit, 20)}".rstrip()
