"""Errors that are the user's to mend, told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """Input that cannot be used. The message is the one line the command line prints.

    The console script exits with code 2 on it, without a traceback.
    """


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that looks most like ``name``, or None where none comes close."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return matches[0] if matches else None


def bad_value(field: str, value: object, allowed: str) -> UserError:
    """The error for a value out of its domain: names the field, the value and what is allowed."""
    return UserError(f"{field}={value!r}: allowed is {allowed}")


def unknown_name(field: str, name: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that does not exist: lists the names there are and the nearest one."""
    names = sorted(allowed)
    close = nearest(name, names)
    hint = f"; did you mean {close!r}?" if close else ""
    listed = ", ".join(names) if names else "none"
    return UserError(f"{field}={name!r} is unknown{hint} (known: {listed})")


def no_folder(said: str, path: Path) -> UserError:
    """The error for a folder that is not there: a file in its place, or the nearest name beside."""
    if path.exists():
        return UserError(f"{said}: is a file, not a folder")
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, beside)
    hint = f"; did you mean {str(path.parent / close)!r}?" if close else ""
    return UserError(f"{said}: no such folder{hint}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which file could not be written: no space, no permission.

    Raises:
        UserError: instead of the ``OSError`` raised inside.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
