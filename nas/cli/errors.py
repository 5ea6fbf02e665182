"""Hydra's and OmegaConf's errors as one line: the key, the value, what is allowed, the nearest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nas.cli.keys import allowed_at, composed_keys, group_options, schema_keys, unknown_key
from search_spaces.errors import UserError, bad_value, unknown_name


@contextmanager
def explained(overrides: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise inside into a ``UserError``."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise _line(error, overrides) from error


def check_added(overrides: Sequence[str]) -> None:
    """Refuse ``+key=`` and ``~key`` where the schema knows no such key or cannot do without.

    Hydra itself would add any key, and nothing would ever read it.

    Raises:
        UserError: the key is unknown, or deleted.
    """
    known = schema_keys()
    for override in overrides:
        name = re.split(r"[=@]", override.lstrip("+~"), maxsplit=1)[0]
        if override.startswith("~"):
            raise UserError(f"{override}: keys cannot be removed; set {name}=null or its default")
        if override.startswith("+") and not name.startswith(("hydra.", "hydra/")):
            inside = any(name == path or name.startswith(f"{path}.") for path in known)
            if not inside and name != "experiment":
                raise unknown_key(name, known)


def _line(error: Exception, overrides: Sequence[str]) -> UserError:
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

    inner = error.__cause__ or error.__context__
    cause = inner if isinstance(inner, OmegaConfBaseException) else error
    if isinstance(cause, MissingConfigException):
        return _missing_member(cause)
    if isinstance(cause, OverrideParseException):
        return UserError(
            f"{cause.override!r} cannot be read: allowed is key=value, e.g. search.trials=100; "
            "put quotes around values with blanks, commas or ="
        )
    path = getattr(cause, "full_key", None)
    if path and isinstance(cause, ValidationError):
        return bad_value(path, getattr(cause, "value", None), allowed_at(path))
    if path and isinstance(cause, ConfigKeyError | AttributeError):
        return unknown_key(_as_written(path, overrides), composed_keys(overrides))
    text = str(cause).splitlines()[0]
    sweep = re.match(r"Ambiguous value for argument '(.*)'", text)
    if sweep:
        return UserError(
            f"{sweep[1]}: several values; for a grid of runs add -m, for a list write [a,b]"
        )
    return UserError(f"{path or 'configuration'}: {text}")


def _missing_member(error: Any) -> UserError:
    """A member of a group that does not exist: ``sampler=nsg2``."""
    found = re.search(r"Could not (?:find|load) '([^']+)'", str(error))
    path = error.missing_cfg_file or (found[1] if found else "")
    group, _, name = str(path).removesuffix(".yaml").rpartition("/")
    if not group:
        return UserError(f"configuration: {str(error).splitlines()[0]}")
    return unknown_name(group, name, error.options or group_options(group))


def _as_written(path: str, overrides: Sequence[str]) -> str:
    """The key as the user wrote it; the error names only the part that could not be found."""
    for override in overrides:
        name = override.lstrip("+").partition("=")[0]
        if name == path or name.startswith((f"{path}.", f"{path}/")):
            return name
    return path
