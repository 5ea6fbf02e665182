"""What to do with an architecture, as lines to copy."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nas.cli.commands import COMMANDS
from nas.dashboard.state import Chosen
from nas.run_folder import RunFolder
from search_spaces.architecture import Architecture, OpSetting

FINETUNE_EPOCHS = 20


def shown(path: Path) -> str:
    """As the user would type it; whole where it lies elsewhere."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def pick_words(folder: RunFolder, digest: str) -> list[str]:
    """The words of ``formfinder`` that export a member."""
    which = [] if folder.device is None else [f"hardware={folder.device}"]
    return ["pick", str(folder.path), *which, f"member={digest}"]


def commands_for(chosen: Chosen, home: RunFolder | None) -> list[tuple[str, str]]:
    """(what for, line) for an architecture; ``home`` is the run that can export it."""
    folder, architecture = home or chosen.run.folder, chosen.architecture
    digest = architecture.digest()
    path = shlex.quote(shown(folder.path))
    made = []
    if home is not None:
        words = pick_words(folder, digest)
        words[1] = shown(folder.path)
        made.append(("Export it", f"formfinder {shlex.join(words)}"))
        made.append(("Layer by layer", f"formfinder describe {path} member={digest}"))
    best = shlex.quote(shown(folder.pick(digest)))
    if "retrain" in COMMANDS and home is not None:
        made.append(("Retrain it (exported first)", f"formfinder retrain {best}"))
    elif digest == chosen.run.front.winner:
        line = f"formfinder export {path} finetune.epochs={FINETUNE_EPOCHS}"
        made.append(("Fine-tune it, the run's winner", line))
    made.append(("Hydra overrides: a space of what it uses, to train it anew", overrides(chosen)))
    return made


def overrides(chosen: Chosen) -> str:
    """A command that trains and searches only what the architecture is made of."""
    architecture = chosen.architecture
    data = chosen.run.config.get("data")
    name = data.get("name") if isinstance(data, dict) else None
    words = ["formfinder", "run"]
    words += [f"data={name}"] if isinstance(name, str) and name.isidentifier() else []
    words += [
        f"space.patch_size=[{architecture.patch_size}]",
        f"space.stages=[{','.join(_stage(architecture, i) for i in range(_count(architecture)))}]",
        f"name={architecture.digest()[:8]}",
    ]
    return shlex.join(words)


def _count(architecture: Architecture) -> int:
    return min(len(architecture.stages), 16)


def _stage(architecture: Architecture, index: int) -> str:
    stage = architecture.stages[index]
    blocks = stage.blocks
    heads = sorted({b.heads for b in blocks if b.heads}) or [1]
    ratios = sorted({b.mlp_hidden / (stage.width or 1) for b in blocks})
    parts = [
        f"width:[{stage.width}]",
        f"depth:[{len(blocks)}]",
        f"heads:{_list(heads)}",
        f"mlp_ratio:{_list(f'{ratio:g}' for ratio in ratios)}",
        f"attention:{_ops(b.attention for b in blocks)}",
        f"reduction:{_ops(b.reduction for b in blocks)}",
    ]
    if index:
        parts.append(f"transition:{_ops([stage.transition])}")
    return f"{{{','.join(parts)}}}"


def _list(values: Iterable[Any]) -> str:
    return f"[{','.join(str(value) for value in values)}]"


def _ops(settings: Iterable[OpSetting]) -> str:
    """Operators with their values, as a space states them."""
    made = []
    for setting in dict.fromkeys(settings):
        values = "".join(f",{key}:{value}" for key, value in setting.params)
        made.append(f"{{op:{setting.op}{values}}}" if values else setting.op)
    return _list(made)
