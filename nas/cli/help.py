"""Help, written by hand and from the schema. Imports nothing that takes time."""

from __future__ import annotations

import textwrap
from typing import Any

from nas.cli.commands import COMMANDS, Command
from nas.config.fields import Key, keys
from nas.config.schema import RunConfig

_WIDTH = 80
_GROUPS = """groups (a name brings its settings; `formfinder list` shows the names):
   data=NAME  space=NAME  sampler=NAME  executor=NAME  hardware=NAME
   hardware=[NAME,NAME]    several profiles in one run
   training/augmentation=NAME   affine, none, light1 ... strong2, deit
   experiment=NAME         a whole set of keys, see conf/experiment/"""


def main_help() -> str:
    """The text of ``formfinder --help``."""
    table = "\n".join(f"  {command.name:<9} {command.summary}" for command in COMMANDS.values())
    return f"""formfinder finds the vision transformer that fits your images and your device.

usage: formfinder COMMAND [RUN] [key=value ...]

commands:
{table}

options:
  -h, --help         this text; after a command: its keys and examples
  --version          the installed version
  -m, --multirun     a grid of runs: formfinder run -m seed=0,1,2
  --config-dir DIR   a folder with configuration groups of your own
  --cfg job          print the composed configuration and do nothing

examples:
  formfinder run
      digits, this processor, defaults: minutes to a model and a report
  formfinder run data=folder data.path=photos constraints.latency_ms=5
      your images, one folder per class, and a limit that must hold
  formfinder pick runs/digits-cpu-s0 by=accuracy
      another member of a finished front

Input that cannot be used gets one line on stderr and exit code 2. Ctrl-C stops
with exit code 130; the same command continues.
"""


def command_help(command: Command) -> str:
    """The text of ``formfinder COMMAND --help``."""
    examples = "\n".join(f"  {line}" for line in command.examples)
    parts = [
        f"formfinder {command.name}: {command.summary}",
        f"usage: formfinder {command.name} {command.usage}",
        command.details,
        f"examples:\n{examples}",
    ]
    if command.composes:
        parts.append(_GROUPS)
        parts.append(_keys(command))
        if command.name != "retrain":  # which refuses the others
            parts.append("Every command takes every key; those it does not use change nothing.")
    return "\n\n".join(parts) + "\n"


def _keys(command: Command) -> str:
    shown = [key for key in keys(RunConfig) if key.path.partition(".")[0] in command.sections]
    lines = ["keys (* what the run is: another value makes another run):"]
    for key in shown:
        lines.extend(_entry(key))
    return "\n".join(lines)


def _entry(key: Key) -> list[str]:
    mark = "*" if key.kind == "identity" else " "
    default = f" [{_shown(key.default)}]" if key.default not in ({}, None) else ""
    head = f" {mark} {key.path}"
    body = textwrap.wrap(f"{key.summary}{default}", _WIDTH - 40)
    if len(head) > 38:
        return [head, *(f"{'':<40}{line}" for line in body)]
    return [f"{head:<40}{body[0]}", *(f"{'':<40}{line}" for line in body[1:])]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)
