"""From overrides on the command line to a validated configuration, through Hydra."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.cli.errors import check_added, explained
from nas.config import RunConfig, SearchConfig, load_config, validate
from nas.config.registries import names, registry
from nas.data.recipes import RECIPES
from nas.run_folder import RunFolder
from search_spaces.errors import UserError, bad_value


def compose_and_call(
    overrides: Sequence[str], flags: Sequence[str], job: Callable[[RunConfig], None]
) -> None:
    """Compose the configuration and hand it to ``job``, once or once per member of a grid.

    Args:
        overrides: ``key=value``, as Hydra reads them.
        flags: ``--multirun``, ``--config-dir DIR``, ``--cfg job``.
        job: what the command does.

    Raises:
        UserError: the configuration cannot be composed or breaks a rule; nothing was called.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    _check_package()
    register_groups()
    check_added(overrides)
    failures: list[Exception] = []

    def task(composed: DictConfig) -> None:
        if failures:  # of a grid: the jobs after a failed one are not begun
            return
        try:
            given = list(HydraConfig.get().overrides.task)
            job(validate(_rebased(to_config(composed), given)))
        except Exception as error:  # Hydra would print a line of its own before raising it
            failures.append(error)

    task.__module__ = __name__
    main = hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(task)
    with explained(overrides), _process_as_hydra_wants_it([*flags, *overrides]):
        main()
        if failures:
            raise failures[0]


@contextmanager
def _process_as_hydra_wants_it(words: Sequence[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, ["formfinder", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions through, they are translated here
    try:
        yield
    finally:
        sys.argv = before


def register_groups() -> None:
    """Offer the schema and every registered member to Hydra, plug-ins included."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    # One nullable key per registered metric, so that a misspelt one is an unknown key.
    metrics = names("objective")
    schema = RunConfig(
        constraints=dict.fromkeys(metrics), search=SearchConfig(reference=dict.fromkeys(metrics))
    )
    store.store(name="schema", node=schema)
    for device in registry("hardware"):
        store.store(
            group="hardware",
            name=device.name,
            package=f"hardware.{device.name}",
            node=asdict(device.default()),
        )
    for source in registry("data"):
        store.store(group="data", name=source.name, node={"name": source.name, **source.defaults})
    for sampler in registry("sampler"):
        options = asdict(sampler.options())
        store.store(
            group="sampler", name=sampler.name, node={"name": sampler.name, "options": options}
        )
    for tracker in registry("tracker"):
        options = asdict(tracker.options())
        store.store(
            group="tracking", name=tracker.name, node={"name": tracker.name, "options": options}
        )
    for name, recipe in RECIPES.items():
        store.store(group="training/augmentation", name=name, node=asdict(recipe))
    for executor in registry("executor"):
        store.store(group="executor", name=executor.name, node={"name": executor.name})


def to_config(composed: Any) -> RunConfig:
    """The typed configuration of a composed one, interpolations resolved."""
    from omegaconf import OmegaConf

    made = OmegaConf.to_object(composed)
    assert isinstance(made, RunConfig)
    return made


def _rebased(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """Put the given keys onto the stored configuration, where a run folder is named.

    ``run=RUN`` continues or reads RUN itself; ``supernet=RUN`` begins another run with the data,
    the space and the training of RUN.
    """
    if config.run is not None:
        folder = _run_folder("run", config.run)
        base = load_config(RunFolder(folder).config)
        base.out_dir, base.name = str(folder.parent), folder.name
    elif config.supernet is not None:
        base = load_config(RunFolder(_run_folder("supernet", config.supernet)).config)
        base.out_dir, base.name = config.out_dir, None
    else:
        return config
    for key in _keys(overrides):
        if key == "experiment":
            raise bad_value("experiment", "...", "none beside run= or supernet=")
        if key in ("init", "init_order") and config.run is None:
            allowed = "none beside supernet=, whose weights are trained already"
            raise bad_value(key, getattr(config, key), allowed)
        _copy(key.replace("/", ".").split("."), config, base)
    return base


def _run_folder(key: str, value: str) -> Path:
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{key}={value!r}: no such run folder")
    return folder


def _keys(overrides: Sequence[str]) -> list[str]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [override.key_or_group for override in parsed]


def _copy(path: Sequence[str], source: Any, target: Any) -> None:
    """Set ``target``'s leaf at ``path`` to ``source``'s; both are dataclasses or mappings."""
    for part in path[:-1]:
        source = source[part] if isinstance(source, dict) else getattr(source, part)
        if isinstance(target, dict) and part not in target:
            target[part] = {}
        target = target[part] if isinstance(target, dict) else getattr(target, part)
    last = path[-1]
    value = source[last] if isinstance(source, dict) else getattr(source, last)
    if isinstance(target, dict):
        target[last] = value
    else:
        setattr(target, last, value)


def _check_package() -> None:
    """Refuse to read another package's ``conf``: names this short are easily shadowed."""
    import conf

    expected = Path(__file__).resolve().parents[2] / "conf"
    found = [Path(path).resolve() for path in conf.__path__]
    if expected not in found:
        raise UserError(
            f"the folder {found[0]} hides formfinder's own conf: start the command elsewhere"
        )
