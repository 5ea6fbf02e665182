"""A tracker may fail in any way; the run must not notice more than one line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nas.masking import MASK, masked
from search_spaces.errors import UserError

MAX_CHARACTERS = 240
_SECRET = re.compile(r"KEY|TOKEN|PASSWORD|PASSWD|SECRET", re.IGNORECASE)


class Guard:
    """Lets one tracker act until it fails for the first time.

    Args:
        name: of the tracker.
        say: prints a line.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self.on = True

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run what is inside; the first error is said, and the tracker is off from then on."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if self.on:
                self.on = False
                self._say(f"tracking: {self._name} is off from here: {reason(error)}")

    def say(self, text: str) -> None:
        """A line of the tracker's own."""
        self._say(f"tracking: {text}")


def reason(error: BaseException) -> str:
    """An error in one short line, without what the environment keeps secret."""
    first = " ".join(str(error).split()) or "no reason given"
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    text = without_secrets(f"{kind}{first}")
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2 - 2  # what went wrong may stand at either end of long paths
    return f"{text[:half]} … {text[-half:]}"


def without_secrets(text: str) -> str:
    """``text`` with passwords in addresses and values of secret variables replaced."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= 6:
            text = text.replace(value, MASK)
    return masked(text)
