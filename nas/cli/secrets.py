"""Overrides that hold a password reach Hydra as references: it prints and writes what it is given.

A grid's ``multirun.yaml``, ``--cfg job`` and Hydra's own errors then show the reference.
"""

from __future__ import annotations

from nas.masking import masked

RESOLVER = "formfinder.secret"
_kept: list[str] = []


def hidden(override: str) -> str:
    """``override``, with a value that holds a password replaced by a reference to it."""
    name, _, value = override.partition("=")
    if masked(value) == value:
        return override
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver(RESOLVER, lambda index: _kept[int(index)], replace=True)
    _kept.append(_unquoted(value))
    return f"{name}=${{{RESOLVER}:{len(_kept) - 1}}}"


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
