"""Calling a user's command line for a device that Python cannot reach: one process, one answer."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search_spaces.errors import UserError, bad_value, unknown_name

FIELDS = ("model", "runs", "threads", "batch", "images")
_SHOWN = 200  # characters of what was printed that an error repeats


class CallError(RuntimeError):
    """One call gave no answer. The message is one line.

    Attributes:
        printed: whether the command ended well and printed something else than an answer.
    """

    def __init__(self, reason: str, *, printed: bool = False) -> None:
        super().__init__(reason)
        self.printed = printed


def split(field: str, template: str) -> list[str]:
    """The words of a command line, as a shell would split them; no shell ever runs.

    Raises:
        UserError: a quotation is left open, there is no word, or a ``{name}`` is unknown.
    """
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise bad_value(field, template, f"a command line ({error})") from error
    if not words:
        raise bad_value(field, template, "a command line, e.g. 'ssh pi bench {model} {runs}'")
    for name in re.findall(r"\{(\w+)\}", template):
        if name not in FIELDS:
            raise unknown_name(f"{field}: the field", name, FIELDS)
    return words


def fill(words: list[str], values: Mapping[str, object]) -> list[str]:
    """Each ``{name}`` replaced within its word: a path with blanks stays one word."""
    return [re.sub(r"\{(\w+)\}", lambda found: str(values[found.group(1)]), word) for word in words]


def call(
    field: str,
    words: list[str],
    timeout_s: float,
    wanted: Callable[[Mapping[str, Any]], bool],
    stdin: Path | None = None,
) -> dict[str, Any]:
    """Run a command and return the last line of its output that is JSON and ``wanted``.

    Whatever the command prints before (a greeting, a progress bar) is passed over.

    Args:
        field: the key of the command, for messages.
        words: program and arguments.
        timeout_s: after it the program and all it has started are killed.
        wanted: whether a JSON object is an answer.
        stdin: what the program reads, else nothing.

    Raises:
        UserError: there is no such program.
        CallError: it took too long, failed, or printed no answer.
    """
    source = stdin.open("rb") if stdin else subprocess.DEVNULL
    try:
        # In a session of its own: what a script has started dies with it and holds no pipe open.
        process = subprocess.Popen(
            words,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"{field}: cannot start {words[0]!r}: {error.strerror}") from error
    finally:
        if not isinstance(source, int):
            source.close()
    try:
        output, complaints = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise CallError(f"no answer within {timeout_s:g} s") from error
    finally:
        _end(process)
    answer = _answer(output.decode(errors="replace"), wanted)
    if answer is not None:
        return answer
    if process.returncode:
        raise CallError(_ended(process.returncode) + _last_line(complaints or output))
    raise CallError(f"it printed {_shown(output)}", printed=True)


def _answer(text: str, wanted: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any] | None:
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and wanted(found):
            return found
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the session, and read no more from it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _ended(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1][:_SHOWN]}" if lines else ""


def _shown(output: bytes) -> str:
    text = " ".join(output.decode(errors="replace").split())
    return repr(text[:_SHOWN] + ("..." if len(text) > _SHOWN else "")) if text else "nothing"
