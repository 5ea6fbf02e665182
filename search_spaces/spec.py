"""A search space as data: the choices of every gene, read from YAML and checked."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.architecture import NONE, OpSetting, Value
from search_spaces.card import Card, Cards, as_choice
from search_spaces.errors import UserError, bad_value, unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """The choices of one stage; every layer of it draws from the same lists."""

    width: tuple[int, ...]
    depth: tuple[int, ...]
    heads: tuple[int, ...]
    mlp_ratio: tuple[float, ...]
    attention: tuple[OpSetting, ...]
    reduction: tuple[OpSetting, ...]
    transition: tuple[OpSetting, ...] = (NONE,)

    def hidden(self, width: int, ratio: float) -> int:
        """Hidden width of the MLP."""
        return int(width * ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSpec:
    """Everything a space file says. See ``conf/space/digits.yaml`` for a commented one."""

    image_size: tuple[int, int]
    channels: int
    head_dim: int
    patch_size: tuple[int, ...]
    embedding: tuple[OpSetting, ...]
    position: tuple[OpSetting, ...]
    stages: tuple[StageSpec, ...]
    pooling: str = "mean"
    special_tokens: int = 0
    norm_eps: float = 1e-6
    min_tokens: int = 4
    pad: bool = False
    # How a layer's shared biases of q, k and v are cut: each from its own front, or (joint) all
    # three as one prefix of one vector, so that their offsets move with the heads (AutoFormer).
    # Without a place in the text: a space that does not use it keeps its digest.
    joint_qkv_bias: bool = dataclasses.field(default=False, repr=False)
    # Not of the declaration, so neither in its text nor in its digest: a device's refusals.
    excluded: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


_SPACE_FIELDS = set(SpaceSpec.__dataclass_fields__) - {"excluded"}
_STAGE_FIELDS = set(StageSpec.__dataclass_fields__)


def parse_spec(data: Mapping[str, Any], cards: Cards) -> SpaceSpec:
    """Read a space file's content.

    Raises:
        UserError: a key, an operator, a parameter or a value cannot be used.
    """
    _check_keys("space", data, _SPACE_FIELDS)
    for name in ("image_size", "channels", "head_dim", "patch_size", "stages"):
        if name not in data:
            raise UserError(f"space.{name} is missing")
    special = _integer("space.special_tokens", data.get("special_tokens", 0), 0)
    if special > 2:
        raise bad_value("space.special_tokens", special, "0, 1 (class) or 2 (class, distillation)")
    pooling = data.get("pooling", "mean")
    if pooling not in ("mean", "class"):
        raise bad_value("space.pooling", pooling, "'mean' or 'class'")
    if pooling == "class" and special == 0:
        raise bad_value("space.pooling", pooling, "'mean' where special_tokens is 0")
    size = data["image_size"]
    sides = _integers("space.image_size", [size, size] if isinstance(size, int) else size)
    if len(sides) != 2:
        raise bad_value("space.image_size", size, "one side or [height, width]")
    pad = data.get("pad", False)
    if not isinstance(pad, bool):
        raise bad_value("space.pad", pad, "true or false")
    joint = data.get("joint_qkv_bias", False)
    if not isinstance(joint, bool):
        raise bad_value("space.joint_qkv_bias", joint, "true or false")
    spec = SpaceSpec(
        image_size=(sides[0], sides[1]),
        channels=_integer("space.channels", data["channels"], 1),
        head_dim=_integer("space.head_dim", data["head_dim"], 1),
        patch_size=_integers("space.patch_size", data["patch_size"]),
        embedding=_settings("space.embedding", data.get("embedding", ["conv"]), cards.embedding),
        position=_settings("space.position", data.get("position", ["peg"]), cards.position),
        stages=tuple(
            _stage(f"space.stages[{i}]", stage, cards, first=i == 0)
            for i, stage in enumerate(_sequence("space.stages", data["stages"]))
        ),
        pooling=pooling,
        special_tokens=special,
        norm_eps=_number("space.norm_eps", data.get("norm_eps", 1e-6)),
        min_tokens=_integer("space.min_tokens", data.get("min_tokens", 4), 1),
        pad=pad,
        joint_qkv_bias=joint,
    )
    _check_patches(spec, cards)
    return spec


def _check_patches(spec: SpaceSpec, cards: Cards) -> None:
    for patch in spec.patch_size:
        grids = [
            cards.embedding[setting.op].grid(spec.image_size, patch, setting)
            for setting in spec.embedding
        ]
        if not spec.pad and all(grid is None for grid in grids):
            shared = math.gcd(*spec.image_size)
            divisors = [str(side) for side in range(1, shared + 1) if shared % side == 0]
            raise bad_value(
                "space.patch_size",
                patch,
                f"a divisor of image_size={list(spec.image_size)} ({', '.join(divisors)}), "
                "or any with space.pad=true",
            )


def _stage(field: str, data: Any, cards: Cards, *, first: bool) -> StageSpec:
    if not isinstance(data, Mapping):
        raise bad_value(field, data, "a mapping of gene choices")
    _check_keys(field, data, _STAGE_FIELDS)
    for name in ("width", "depth", "heads", "mlp_ratio", "attention"):
        if name not in data:
            raise UserError(f"{field}.{name} is missing")
    if first and "transition" in data:
        raise UserError(f"{field}.transition: the first stage has none before it")
    spec = StageSpec(
        width=_integers(f"{field}.width", data["width"]),
        depth=_integers(f"{field}.depth", data["depth"]),
        heads=_integers(f"{field}.heads", data["heads"]),
        mlp_ratio=_numbers(f"{field}.mlp_ratio", data["mlp_ratio"]),
        attention=_settings(f"{field}.attention", data["attention"], cards.attention),
        reduction=_settings(f"{field}.reduction", data.get("reduction", ["none"]), cards.reduction),
        transition=(NONE,)
        if first
        else _settings(f"{field}.transition", data.get("transition", ["pit"]), cards.transition),
    )
    for width in spec.width:
        hidden = [spec.hidden(width, ratio) for ratio in spec.mlp_ratio]
        if min(hidden) < 1:
            raise bad_value(
                f"{field}.mlp_ratio", spec.mlp_ratio[0], f"a ratio that leaves 1 or more of {width}"
            )
        if len(set(hidden)) < len(hidden):
            raise bad_value(
                f"{field}.mlp_ratio", list(spec.mlp_ratio), f"ratios that differ at width {width}"
            )
    return spec


def _check_keys(field: str, data: Mapping[str, Any], known: set[str]) -> None:
    for key in data:
        if key not in known:
            raise unknown_name(f"{field} key", str(key), known)


def _sequence(field: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise bad_value(field, value, "a list with at least one entry")
    return value


def _integer(field: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise bad_value(field, value, f"a whole number from {low} up")
    return value


def _integers(field: str, value: Any) -> tuple[int, ...]:
    values = tuple(_integer(field, v, 1) for v in _sequence(field, value))
    if field.endswith("image_size"):
        return values
    return _distinct(field, tuple(sorted(values)))


def _numbers(field: str, value: Any) -> tuple[float, ...]:
    return _distinct(field, tuple(sorted(_number(field, v) for v in _sequence(field, value))))


def _number(field: str, value: Any) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not 0 < value < math.inf:
        raise bad_value(field, value, "a positive number")
    return float(value)


def _distinct(field: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise UserError(f"{field}: {value} is given twice: allowed is every choice once")
    return values


def _settings(field: str, value: Any, cards: Mapping[str, Card]) -> tuple[OpSetting, ...]:
    """Expand operators with lists of parameters to single settings, in the order given."""
    settings: list[OpSetting] = []
    for entry in _sequence(field, value):
        data = {"op": entry} if isinstance(entry, str) else entry
        if not isinstance(data, Mapping) or "op" not in data:
            raise bad_value(field, entry, "an operator's name or {op: name, parameter: [choices]}")
        settings.extend(_expand(field, data, cards))
    return _distinct(field, tuple(settings))


def _expand(field: str, data: Mapping[str, Any], cards: Mapping[str, Card]) -> list[OpSetting]:
    name = str(data["op"])
    if name not in cards:
        raise unknown_name(field, name, cards)
    card = cards[name]
    given = {str(key): value for key, value in data.items() if key != "op"}
    choices = dict(card.choices)
    for key in given:
        if key not in card.parameters_allowed():
            raise unknown_name(f"{field} {name} parameter", key, card.parameters_allowed())
    if given and card.alternatives:
        choices = {}
    choices |= {
        key: _values(f"{field} {name}.{key}", value, card.choices.get(key, (0,))[0])
        for key, value in given.items()
    }
    combinations = itertools.product(*choices.values())
    return [OpSetting.of(name, **dict(zip(choices, combo, strict=True))) for combo in combinations]


def _values(field: str, value: Any, like: Value) -> tuple[Value, ...]:
    """One choice or a list of them, of the kind of the card's own (``1`` means ``1.0`` there)."""
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(as_choice(field, entry, like) for entry in _sequence(field, listed))
