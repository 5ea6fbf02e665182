"""What a sampler's file registers, and how its options are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_origin, get_type_hints

from search_spaces.errors import bad_value, unknown_name
from search_spaces.registry import Registry

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History

O = TypeVar("O")  # noqa: E741


class SamplerFactory(Protocol):
    """A way to propose candidates.

    Attributes:
        name: as in ``sampler=NAME``.
        label: for people.
        summary: one line for ``list`` and the docs.
        options: a frozen dataclass; its fields and defaults are what ``sampler.options`` may say.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def options(self) -> type[Any]: ...

    def build(self, options: Any, seed: int, history: History) -> BaseSampler:
        """A sampler with no memory of its own: all it knows it reads from the study.

        A study builds a new one for every batch, so state kept on the object would be lost. One
        that proposes gene rows is ``RowSampler(rule, history, seed)``.

        Args:
            options: an instance of ``self.options``.
            seed: of everything it draws, 0 ≤ seed < 2^32.
            history: the finished trials as arrays, and the question with its space; for samplers
                that know architectures.
        """
        ...


SAMPLERS: Registry[SamplerFactory] = Registry("sampler", "nas.samplers")


def build_sampler(
    name: str, options: Mapping[str, Any], seed: int, history: History
) -> BaseSampler:
    """The sampler ``name`` with ``options`` over its defaults, for the study of ``history``.

    Raises:
        UserError: there is no such sampler or option, or an option's value cannot be used.
    """
    factory = SAMPLERS[name]
    return factory.build(read_options(factory.options, options), seed, history)


def read_options(schema: type[O], given: Mapping[str, Any]) -> O:
    """An instance of the options dataclass ``schema``, ``given`` over its defaults.

    Raises:
        UserError: an option is unknown or of another type.
    """
    hints = get_type_hints(schema)
    for key, value in given.items():
        if key not in hints:
            raise unknown_name("sampler.options", str(key), hints)
        if get_origin(hints[key]) is tuple:
            listed = isinstance(value, Sequence) and type(value) is not str
            if not listed or not all(type(name) is str for name in value):
                raise bad_value(f"sampler.options.{key}", value, "a list of names")
            continue
        kinds = getattr(hints[key], "__args__", (hints[key],))
        fits = type(value) in kinds or (type(value) is int and float in kinds)
        if not fits:
            names = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
            raise bad_value(f"sampler.options.{key}", value, names)
    named = {key: value for key, value in given.items() if get_origin(hints[key]) is tuple}
    return schema(**{**given, **{key: tuple(value) for key, value in named.items()}})


def default_options(factory: SamplerFactory) -> dict[str, Any]:
    """Every option with its default."""
    return dataclasses.asdict(factory.options())
