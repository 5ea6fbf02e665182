"""One network, as a value: everything that is needed to rebuild its backbone.

Immutable, hashable and canonical: genes that have no effect do not exist in it. It is passed to
``forward``, never stored on a module.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from search_spaces.errors import UserError, unknown_name

Value = int | float | str | bool
_LABEL = re.compile(r"^(?P<op>[a-z0-9_]+)(?:\((?P<params>.*)\))?$")


@dataclass(frozen=True, slots=True)
class OpSetting:
    """An operator by name, with its parameters sorted by name: ``window(size=4)``."""

    op: str
    params: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, op: str, **params: Value) -> OpSetting:
        """``OpSetting.of("window", size=4)``."""
        return cls(op, tuple(sorted(params.items())))

    def __getitem__(self, name: str) -> Any:
        for key, value in self.params:
            if key == name:
                return value
        raise KeyError(f"{self.op} has no parameter {name!r}")

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter called ``name``, or ``default``."""
        return dict(self.params).get(name, default)

    def __str__(self) -> str:
        if not self.params:
            return self.op
        return f"{self.op}({','.join(f'{k}={json.dumps(v)}' for k, v in self.params)})"

    @classmethod
    def parse(cls, label: str) -> OpSetting:
        """The inverse of ``str``: ``parse("window(size=4)")``.

        Raises:
            UserError: the text is no operator label.
        """
        match = _LABEL.match(label)
        if match is None:
            raise UserError(f"{label!r} is no operator: write it as window(size=4)")
        params: dict[str, Value] = {}
        for part in (match["params"] or "").split(","):
            if part:
                key, _, value = part.partition("=")
                try:
                    params[key.strip()] = json.loads(value)
                except json.JSONDecodeError as error:
                    raise UserError(
                        f"{label!r}: {part.strip()!r} is no parameter: write it as window(size=4)"
                    ) from error
        return cls.of(match["op"], **params)

    def to_dict(self) -> dict[str, Value]:
        """``{"op": "window", "size": 4}``."""
        return {"op": self.op, **dict(self.params)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OpSetting:
        """The inverse of ``to_dict``."""
        rest = {key: value for key, value in data.items() if key != "op"}
        return cls.of(str(data["op"]), **rest)


NONE = OpSetting("none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One transformer layer.

    Attributes:
        attention: the token mixer. ``none`` leaves the MLP alone.
        heads: number of heads; the attention's inner width is ``heads * head_dim``, whatever the
            width of the stage. 0 where the operator has no heads.
        head_dim: width of one head; 0 where the operator has no heads.
        mlp_hidden: hidden width of the MLP.
        reduction: what happens to the number of tokens in this layer.
    """

    attention: OpSetting
    heads: int
    head_dim: int
    mlp_hidden: int
    reduction: OpSetting = NONE

    @property
    def inner(self) -> int:
        """The attention's inner width."""
        return self.heads * self.head_dim

    def to_dict(self) -> dict[str, Any]:
        """Plain data, one mapping per mechanism."""
        attention: dict[str, Any] = self.attention.to_dict()
        if self.heads:
            attention |= {"heads": self.heads, "head_dim": self.head_dim}
        return {
            "attention": attention,
            "mlp": {"hidden": self.mlp_hidden},
            "reduction": self.reduction.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Block:
        """The inverse of ``to_dict``."""
        attention = dict(data["attention"])
        heads, head_dim = attention.pop("heads", 0), attention.pop("head_dim", 0)
        return cls(
            attention=OpSetting.from_dict(attention),
            heads=heads,
            head_dim=head_dim,
            mlp_hidden=data["mlp"]["hidden"],
            reduction=OpSetting.from_dict(data["reduction"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Blocks of one width.

    Attributes:
        width: channels of a token.
        blocks: the layers, in order.
        transition: how tokens arrive from the stage before; ``none`` in the first stage.
    """

    width: int
    blocks: tuple[Block, ...]
    transition: OpSetting = NONE

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "width": self.width,
            "transition": self.transition.to_dict(),
            "blocks": [block.to_dict() for block in self.blocks],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """The inverse of ``to_dict``."""
        return cls(
            width=data["width"],
            transition=OpSetting.from_dict(data["transition"]),
            blocks=tuple(Block.from_dict(block) for block in data["blocks"]),
        )


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A vision transformer without its task head.

    One stage is an isotropic net (DeiT), several are a pyramid.

    Attributes:
        image_size: (height, width) in pixels.
        channels: image channels.
        patch_size: side of a patch in pixels.
        stages: the layers.
        embedding: how patches become tokens.
        position: where positions come from.
        special_tokens: tokens that are no patches, in front: 0, 1 (class) or 2 (class, distil).
        pooling: ``mean`` over the patch tokens (weighted by the patches each stands for), or
            ``class`` for the first special token.
        norm_eps: epsilon of every layer norm.
    """

    image_size: tuple[int, int]
    channels: int
    patch_size: int
    stages: tuple[Stage, ...]
    embedding: OpSetting = field(default=OpSetting("conv"))
    position: OpSetting = field(default=OpSetting("peg"))
    special_tokens: int = 0
    pooling: str = "mean"
    norm_eps: float = 1e-6

    @cached_property
    def _hash(self) -> int:
        return hash(self.canonical_json())

    def __hash__(self) -> int:
        return self._hash

    @property
    def depth(self) -> int:
        """Number of blocks of all stages."""
        return sum(len(stage.blocks) for stage in self.stages)

    def blocks(self) -> Iterator[tuple[Stage, Block]]:
        """Every block with the stage it stands in, in order of execution."""
        for stage in self.stages:
            for block in stage.blocks:
                yield stage, block

    def to_dict(self) -> dict[str, Any]:
        """Plain data that alone rebuilds the backbone."""
        return {
            "image_size": list(self.image_size),
            "channels": self.channels,
            "patch_size": self.patch_size,
            "embedding": self.embedding.to_dict(),
            "position": self.position.to_dict(),
            "special_tokens": self.special_tokens,
            "pooling": self.pooling,
            "norm_eps": self.norm_eps,
            "stages": [stage.to_dict() for stage in self.stages],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """The inverse of ``to_dict``.

        Raises:
            UserError: a field is missing, unknown or of the wrong kind.
        """
        known = set(cls.__dataclass_fields__)
        for name in data:
            if name not in known:
                raise unknown_name("architecture field", str(name), known)
        try:
            height, width = data["image_size"]
            return cls(
                image_size=(height, width),
                channels=data["channels"],
                patch_size=data["patch_size"],
                embedding=OpSetting.from_dict(data["embedding"]),
                position=OpSetting.from_dict(data["position"]),
                special_tokens=data["special_tokens"],
                pooling=data["pooling"],
                norm_eps=data["norm_eps"],
                stages=tuple(Stage.from_dict(stage) for stage in data["stages"]),
            )
        except KeyError as error:
            raise UserError(f"architecture: the field {error} is missing") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"architecture: a field has the wrong kind: {error}") from error

    def canonical_json(self) -> str:
        """The one text of this architecture: sorted keys, no white space."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    def digest(self) -> str:
        """16 hexadecimal digits of SHA-256 of the canonical JSON, equal in every process."""
        return self._digest
