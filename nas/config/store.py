"""Configurations as files, and the names of run folders."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.config.schema import RunConfig
from nas.masking import masked
from search_spaces.errors import UserError, writing


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain data: mappings, lists, numbers, strings."""
    return dataclasses.asdict(config)


def from_dict(data: Mapping[str, Any]) -> RunConfig:
    """The inverse of ``to_dict``. Keys that older files lack take their defaults.

    Raises:
        UserError: a key is unknown or a value has the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        merged = OmegaConf.merge(OmegaConf.structured(RunConfig), dict(data))
        made = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        key = error.full_key or error.key
        first = str(error).splitlines()[0]
        raise UserError(f"configuration: {key}: {first}") from error
    assert isinstance(made, RunConfig)
    return made


def save_config(config: RunConfig, path: Path) -> None:
    """Write ``config`` as YAML; a reader sees the old file or the new one, never half of it.

    Passwords in addresses are written as ``***``.
    """
    import yaml

    data = to_dict(config)
    if data["search"]["mirror"]:
        data["search"]["mirror"] = masked(data["search"]["mirror"])
    options = data["tracking"]["options"]
    options |= {name: masked(v) for name, v in options.items() if isinstance(v, str)}
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def load_config(path: Path) -> RunConfig:
    """Read what ``save_config`` wrote.

    Raises:
        UserError: there is no such file, or it is no configuration of a run.
    """
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is {path.parent} a run folder?") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{path}: not readable as YAML: {first}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a run's configuration")
    return from_dict(data)


def run_name(config: RunConfig) -> str:
    """The run's own name, or one made of data, hardware and seed: ``digits-cpu-s0``."""
    if config.name is not None:
        return config.name
    data = Path(config.data.path).resolve().name if config.data.path else config.data.name
    parts = [data, "+".join(config.hardware), f"s{config.seed}"]
    return "-".join(re.sub(r"[^\w+.]+", "_", part) for part in parts if part)


def run_folder(config: RunConfig) -> Path:
    """Where the run lives: ``out_dir/run_name``."""
    return Path(config.out_dir).expanduser() / run_name(config)
