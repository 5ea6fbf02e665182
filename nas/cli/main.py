"""The console script: ``formfinder COMMAND [RUN] [key=value ...]``.

Answers ``--help`` before anything heavy is imported, hands each command to the module that does the
work, and turns every error that is the user's to mend into one line and exit code 2.
"""

from __future__ import annotations

import errno
import importlib
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from nas.cli.commands import COMMANDS, Command
from nas.cli.secrets import hidden
from nas.masking import masked
from search_spaces.errors import UserError, nearest, unknown_name

OK, BAD_INPUT, INTERRUPTED = 0, 2, 130

# The user's disk, quota or permissions, not a fault of the program.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
_HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after ``formfinder``; None takes those of the process.

    Returns:
        0; 2 where the input cannot be used; 130 where the user stopped it.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        _dispatch(args)
    except UserError as error:
        return _say(" ".join(str(error).split()), BAD_INPUT)
    except KeyboardInterrupt:
        line = shlex.join(["formfinder", *args])
        return _say(f"stopped; the same command continues: {line}", INTERRUPTED)
    except BrokenPipeError:  # `formfinder list | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        if error.errno not in _DISK:
            raise
        where = f": {error.filename}" if error.filename else ""
        return _say(f"{error.strerror}{where}", BAD_INPUT)
    return OK


def _say(line: str, code: int) -> int:
    said = f"formfinder: {masked(line)}"
    if sys.stderr.isatty():  # for other programs it stays one line
        width = max(shutil.get_terminal_size().columns, 40)
        said = textwrap.fill(said, width, break_long_words=False, break_on_hyphens=False)
    sys.stderr.write(f"{said}\n")
    return code


def _dispatch(args: list[str]) -> None:
    if not args or args[0] in (*_HELP, "help"):
        from nas.cli.help import main_help

        sys.stdout.write(main_help())
        return
    if args[0] == "--version":
        import importlib.metadata

        sys.stdout.write(f"formfinder {importlib.metadata.version('formfinder')}\n")
        return
    name, rest = args[0], args[1:]
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    command = COMMANDS[name]
    if any(word in _HELP for word in rest):
        from nas.cli.help import command_help

        sys.stdout.write(command_help(command))
        return
    if command.composes:
        _compose(command, rest)
    else:
        _target(command)(rest)


def _compose(command: Command, words: list[str]) -> None:
    if command.name == "retrain":
        from nas.retraining.words import check_keys, model_words

        words = model_words(words)
    flags, given = split_words(words)
    overrides = [hidden(override) for override in given]
    if command.name == "retrain":
        check_keys(overrides, command.sections)
    reads = command.usage.startswith(("RUN ", "RUN|"))
    if reads and not any(text.startswith("run=") for text in overrides):
        line = f"formfinder {command.name} {command.usage}"
        raise UserError(f"{command.name}: the run is missing: {line}")
    from nas.cli.compose import compose_and_call
    from search_spaces.registry import load_plugins

    load_plugins()
    compose_and_call(overrides, flags, lambda config: _target(command)(config))


def _target(command: Command) -> Callable[[Any], Any]:
    module, function = command.target.split(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), function)
    return found


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags for Hydra, and overrides; a run folder given by position becomes ``run=``.

    Raises:
        UserError: an unknown flag, a flag without its value, or a second word without ``=``.
    """
    flags: list[str] = []
    overrides: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word in ("-m", "--multirun"):
            flags.append("--multirun")
        elif word == "--all-front":
            overrides.append("export.all_front=true")
        elif word.partition("=")[0] in ("--config-dir", "--cfg"):
            flags.extend(_flag(word, waiting))
        elif word.startswith("-"):
            known = ("--help", "--multirun", "--config-dir", "--cfg", "--all-front")
            raise unknown_name("option", word, known)
        elif "=" in word or word.startswith(("+", "~")):
            overrides.append(word)
        elif any(text.startswith("run=") for text in overrides):
            raise UserError(f"{word!r}: allowed is key=value after the run folder")
        else:
            overrides.append(_run_override(word))
    return flags, overrides


def _flag(word: str, following: Any) -> list[str]:
    name, _, value = word.partition("=")
    value = value or next(following, "")
    if not value:
        raise UserError(f"{name}: its value is missing: {name} {_flag_value(name)}")
    if name == "--cfg" and value not in ("job", "hydra", "all"):
        raise unknown_name(name, value, ("job", "hydra", "all"))
    return [name, value]


def _flag_value(name: str) -> str:
    return "job" if name == "--cfg" else "DIR"


def _run_override(word: str) -> str:
    if not os.path.isdir(os.path.expanduser(word)):
        from nas.cli.keys import schema_keys

        close = nearest(word, [*schema_keys(), "data", "space", "hardware", "sampler", "executor"])
        hint = f"; did you mean {close}=...?" if close else ""
        raise UserError(f"{word!r}: allowed is a run folder or key=value{hint}")
    # Quoted, because Hydra reads blanks, commas and brackets as its own.
    escaped = word.replace("\\", "\\\\").replace("'", "\\'") if "'" in word else word
    return f"run='{escaped}'"
