"""Weights that were read, in this project's names, and who reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Weights of a plain vision transformer, or of a supernet.

    Attributes:
        origin: as the user named it, ``timm:vit_small_patch16_224``.
        architecture: the largest network they hold, at its own image size; None where the file
            does not tell.
        num_classes: outputs of the head; 0: it has none.
        tensors: by their names in the extracted model of ``architecture``; those of ``masters``
            by their names in a supernet.
        nested: smaller members are cut from the front already, so nothing is put in order.
        masters: whether ``tensors`` are a supernet's own.
        joint_qkv_bias: how the biases of q, k and v are cut; see ``SpaceSpec``.
        mean, std: how its images were standardised, per channel; None: as this run's.
        space: the declaration of the space it was made for, where that is known.
    """

    origin: str
    architecture: Architecture | None
    num_classes: int
    tensors: Mapping[str, Tensor] = field(repr=False)
    nested: bool = False
    masters: bool = False
    joint_qkv_bias: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    space: Mapping[str, Any] | None = None


class WeightsReader(Protocol):
    """One kind of source."""

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    def read(self, where: str) -> Imported:
        """The weights that ``where``, all behind the colon, names.

        Raises:
            UserError: there are none, or their network is no plain vision transformer.
        """
        ...


def split_origin(origin: str) -> tuple[str, str]:
    """``timm:NAME`` → its source and its place.

    Raises:
        UserError: no such source, or nothing behind the colon.
    """
    from supernet.importing.sources import WEIGHTS

    source, colon, where = origin.partition(":")
    if not colon or not where:
        known = ", ".join(f"{name}:..." for name in WEIGHTS.names())
        raise UserError(f"init={origin!r}: allowed is {known}, or null")
    if source not in WEIGHTS:
        raise unknown_name("init", source, WEIGHTS.names())
    return source, where


def read_weights(origin: str) -> Imported:
    """Read weights by name.

    Raises:
        UserError: see ``WeightsReader.read``.
    """
    from supernet.importing.sources import WEIGHTS

    source, where = split_origin(origin)
    return WEIGHTS[source].read(where)
