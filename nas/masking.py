"""Passwords in addresses are shown to nobody: not on the screen, not in a file."""

from __future__ import annotations

import re

MASK = "***"

# A password ends at the last @ of its word; one with blanks, at the first @ of its line.
_IN_USER = re.compile(r"(://[^:/?@\s]*:)(?:\S*@|[^@\n]*@)")
_IN_QUERY = re.compile(r"([?&][a-z_]*(?:passw|pwd|secret|token)[a-z_]*=)[^&\s'\"]*", re.IGNORECASE)


def masked(text: str) -> str:
    """``text`` with every password of an address in it replaced by ``***``.

    Both places are known: ``scheme://user:PASSWORD@host`` and ``?password=PASSWORD``.
    """
    return _IN_QUERY.sub(rf"\1{MASK}", _IN_USER.sub(rf"\1{MASK}@", text))
