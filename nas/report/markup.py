"""HTML that cannot be broken from outside: whatever is not markup of ours is escaped."""

from __future__ import annotations

import html

from nas.figures.text import cleaned

_VOID = frozenset({"meta", "br"})
MAX_TEXT = 20_000


class Html(str):
    """Markup that is already safe; made here and nowhere else."""

    __slots__ = ()


def text(value: object, limit: int = 2000) -> Html:
    """Text from anywhere, cleaned, cut and escaped."""
    return Html(html.escape(cleaned(value, limit)))


def joined(*parts: Html | str) -> Html:
    """Parts side by side; those that are no markup are escaped."""
    return Html("".join(part if isinstance(part, Html) else text(part) for part in parts))


def tag(name: str, /, *children: Html | str, **attributes: str) -> Html:
    """``tag("p", "a < b", class_="note")`` is ``<p class="note">a &lt; b</p>``."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{pairs}>")
    return Html(f"<{name}{pairs}>{joined(*children)}</{name}>")


def script_json(data: str) -> Html:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return Html(data)


def trusted(source: str) -> Html:
    """A file of this package or of plotly, taken as it is."""
    return Html(source)
