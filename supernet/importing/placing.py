"""Imported tensors into the masters of a supernet, by each parameter's slicing rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from search_spaces.card import ParameterSpec
from search_spaces.errors import UserError
from search_spaces.workload import Sizes
from supernet.layers import make_cut
from supernet.model import Supernet, group_key, master_uses

SHOWN = 3


def named_as_masters(
    supernet: Supernet, target: Architecture, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors by their names in an extracted model → by those of the masters they belong to.

    Args:
        supernet: where they shall go.
        target: the member of its space that is made of them.
        tensors: of that member or, where they are cut from the front, of a larger network.
    """
    made: dict[str, Tensor] = {}
    for path, sources in supernet.sources(target).items():
        for source in sources:
            for name in (f"{path}.{source.name}", f"{path}.{source.master}"):
                if name in tensors:
                    made[f"{source.group}.{source.master}"] = tensors[name]
    return made


def place(
    supernet: Supernet, tensors: Mapping[str, Tensor], *, needed: set[str], where: str, hint: str
) -> list[str]:
    """Write tensors into the masters of their names.

    Args:
        supernet: changed in place, only if everything fits.
        tensors: by the names of masters; larger ones are cut by the masters' rules.
        needed: masters that must be among them; the others keep what they are.
        where: what the tensors are of, for messages.
        hint: what fits, for messages.

    Returns:
        The names of masters that were written.

    Raises:
        UserError: names the first three tensors that do not fit.
    """
    made: dict[str, Tensor] = {}
    wrong: list[str] = []
    for name, (spec, sizes) in _masters(supernet).items():
        mine = _master(supernet, name)
        if name not in tensors:
            if name in needed:
                wrong.append(f"{name}: none there, {tuple(mine.shape)} here")
            continue
        fitted = _fitted(spec, sizes, tensors[name], tuple(mine.shape))
        if fitted is None:
            wrong.append(f"{name}: {tuple(tensors[name].shape)} there, {tuple(mine.shape)} here")
        else:
            made[name] = fitted
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise UserError(
            f"{where}: weights of another space: {'; '.join(wrong[:SHOWN])}{more}{hint}"
        )
    with torch.no_grad():
        for name, tensor in made.items():
            _master(supernet, name).copy_(tensor)
    return sorted(made)


def share_norms(supernet: Supernet, written: list[str]) -> list[str]:
    """Start the private norm of every other attention type as the one that was written.

    They read the same tokens through the same shared matrices.

    Returns:
        The names of masters that were written.
    """
    made = []
    with torch.no_grad():
        for name in written:
            place, _, leaf = name.rpartition(".")
            layer, _, _ = place.rpartition("/")
            if not layer.endswith("/attention") or leaf not in ("norm_weight", "norm_bias"):
                continue
            for group in supernet.masters:
                beside = group.rpartition("/")[0] == layer and group != place
                if beside and leaf in dict(supernet.masters[group].named_parameters()):
                    _master(supernet, f"{group}.{leaf}").copy_(_master(supernet, name))
                    made.append(f"{group}.{leaf}")
    return made


def _master(supernet: Supernet, name: str) -> Tensor:
    group, _, leaf = name.rpartition(".")
    found: Tensor = supernet.masters[group].get_parameter(leaf)
    return found


def _masters(supernet: Supernet) -> dict[str, tuple[ParameterSpec, Sizes]]:
    """One use of every master, for its rule."""
    return {
        f"{group_key(place)}.{spec.master or spec.name}": (spec, sizes)
        for place, uses in master_uses(supernet).items()
        for spec, sizes in reversed(uses)
    }


def _fitted(
    spec: ParameterSpec, sizes: Sizes, tensor: Tensor, shape: tuple[int, ...]
) -> Tensor | None:
    """A tensor cut or resampled to a master's shape by its rule; None where it cannot be."""
    if tuple(tensor.shape) == shape:
        return tensor
    if tensor.ndim != len(shape):
        return None
    free = {"patch": (2, 3), "grid": (0, 1)}.get(spec.rule, ())
    for axis, (there, here) in enumerate(zip(tensor.shape, shape, strict=True)):
        same = spec.rule == "patch" and axis == 1  # channels cannot be cut
        if axis not in free and (there < here or (same and there != here)):
            return None
    cut = make_cut(replace(spec, shape=lambda s: shape, start=None), sizes, tuple(tensor.shape))
    return tensor if cut is None else cut(tensor)
