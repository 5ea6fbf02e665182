"""Registries: a plug-in is a file in a folder, found when first asked for.

There is no central list to edit. A registry knows which package to read (its *home*); plug-in
folders named by the environment and the entry-point group ``formfinder.plugins`` are read before.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from search_spaces.errors import UserError, unknown_name

PLUGINS_VARIABLE = "FORMFINDER_PLUGINS"
ENTRY_POINT_GROUP = "formfinder.plugins"


class Named(Protocol):
    """Anything a registry can hold: it says its own name."""

    @property
    def name(self) -> str: ...


M = TypeVar("M", bound=Named)


class Registry(Generic[M]):
    """The members of one extension point, by name.

    Args:
        kind: what the members are called in messages and on the command line, e.g. "attention".
        home: the package whose modules register the members, imported on first use.
    """

    def __init__(self, kind: str, home: str) -> None:
        self.kind = kind
        self._home = home
        self._members: dict[str, M] = {}
        self._discovered = False

    def add(self, member: M) -> M:
        """Register ``member`` under its own name.

        Raises:
            UserError: the name is taken.
        """
        known = self._members.get(member.name)
        if known is not None and known != member:
            raise UserError(
                f"{self.kind} {member.name!r} is registered twice: as {_origin(known)} and as "
                f"{_origin(member)}; rename one"
            )
        self._members[member.name] = member
        return member

    def register(self, cls: Callable[[], M]) -> Callable[[], M]:
        """Class decorator: instantiate the class once and register the instance."""
        self.add(cls())
        return cls

    def names(self) -> list[str]:
        """All names, sorted."""
        self._discover()
        return sorted(self._members)

    def __getitem__(self, name: str) -> M:
        """The member called ``name``.

        Raises:
            UserError: there is none; the message lists the names and the nearest one.
        """
        self._discover()
        if name not in self._members:
            raise unknown_name(self.kind, name, self._members)
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._members

    def __iter__(self) -> Iterator[M]:
        self._discover()
        return iter([self._members[name] for name in sorted(self._members)])

    def __len__(self) -> int:
        self._discover()
        return len(self._members)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # set first: a module of the home may ask the registry itself
        package = importlib.import_module(self._home)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._home}.{module.name}")
        load_plugins()


def _origin(member: object) -> str:
    return f"{type(member).__module__}.{type(member).__qualname__}"


def load_plugins() -> list[str]:
    """Import the user's plug-ins once: files of the plug-in folders, then entry points.

    Returns:
        The names of the modules that were read.

    Raises:
        UserError: a folder of ``FORMFINDER_PLUGINS`` does not exist, or a plug-in fails to import.
    """
    loaded = []
    for folder in plugin_folders():
        if not folder.is_dir():
            raise UserError(f"{PLUGINS_VARIABLE}={folder}: no such folder")
        for path in sorted(folder.glob("*.py")):
            loaded.append(_import_file(path))
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except Exception as error:
            raise UserError(f"plug-in {point.name} ({point.value}) failed: {error}") from error
        loaded.append(point.value)
    return loaded


def plugin_folders() -> list[Path]:
    """The folders named by ``FORMFINDER_PLUGINS`` (separated as in PATH)."""
    value = os.environ.get(PLUGINS_VARIABLE, "")
    return [Path(part).expanduser() for part in value.split(os.pathsep) if part]


def _import_file(path: Path) -> str:
    # The path is part of the module's name, so that two folders may hold files of one name.
    tag = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"formfinder_plugin_{path.stem}_{tag}"
    if name in sys.modules:
        return name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plug-in {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"plug-in {path} failed: {type(error).__name__}: {error}") from error
    return name
