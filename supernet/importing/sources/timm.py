"""Vision transformers of timm, by name, or a file of such weights beside the name."""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError
from supernet.importing.sources import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from supernet.importing.imported import Imported

MODULES = ("vision_transformer", "deit")  # of timm, that hold plain vision transformers
LOOKED_AT = 12


@WEIGHTS.register
class TimmWeights:
    """``timm:NAME``, with downloaded weights, or ``timm:NAME@FILE.safetensors``."""

    name = "timm"
    summary = "a plain ViT of timm: timm:NAME, timm:NAME@FILE.safetensors"

    def read(self, where: str) -> Imported:
        """See ``WeightsReader.read``."""
        name, _, path = where.partition("@")
        _check_name(name, pretrained=not path)
        if path:
            return self.convert(_create(name, pretrained=False), f"timm:{where}", _load(path))
        return self.convert(_create(name, pretrained=True), f"timm:{where}")

    def convert(
        self, model: Any, origin: str, tensors: dict[str, Tensor] | None = None
    ) -> Imported:
        """A model of timm, with its own tensors or others.

        Raises:
            UserError: it is no plain vision transformer.
        """
        from supernet.importing.plain import PlainSettings, from_plain

        reason = _why_not_plain(model)
        if reason is not None:
            raise UserError(f"{origin}: no plain vision transformer: {reason}")
        known = getattr(model, "pretrained_cfg", None) or {}
        settings = PlainSettings(
            heads=model.blocks[0].attn.num_heads,
            eps=model.norm.eps,
            pooling="class" if model.global_pool == "token" else "mean",
            special_in_table=not model.no_embed_class,
            mean=known.get("mean"),
            std=known.get("std"),
        )
        return from_plain(origin, tensors or model.state_dict(), settings)


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise UserError("init=timm:...: timm is not installed: pip install timm") from error
    return timm


def _check_name(name: str, *, pretrained: bool) -> None:
    timm = _timm()
    plain, tagged = timm.list_models(), timm.list_pretrained()
    with_weights = {known.partition(".")[0] for known in tagged}
    if name in tagged or (name in plain and (not pretrained or name in with_weights)):
        return
    if name in plain:
        raise UserError(f"init=timm:{name}: timm has no weights of it; add @FILE.safetensors")
    usable = {known for module in MODULES for known in timm.list_models(module=module)}
    if pretrained:
        usable &= with_weights
    offered = [known for known in [*tagged, *plain] if known.partition(".")[0] in usable]
    close = list(islice(filter(_is_plain, _like(name, offered)), 3))
    hint = f"; the nearest are {', '.join(close)}" if close else ""
    raise UserError(f"init=timm:{name}: timm has no model of that name{hint}")


def _like(name: str, known: list[str]) -> list[str]:
    """Names that look like one, the most alike first."""
    return difflib.get_close_matches(name, known, n=LOOKED_AT, cutoff=0.5)


def _is_plain(name: str) -> bool:
    """Whether a model can be read; it is made without memory for its weights."""
    import torch

    try:
        with torch.device("meta"):
            TimmWeights().convert(_create(name, pretrained=False), name)
    except UserError:
        return False
    return True


def _create(name: str, *, pretrained: bool) -> Any:
    try:
        return _timm().create_model(name, pretrained=pretrained).eval()
    except Exception as error:  # timm, hub and network each raise their own
        text = str(error).strip().splitlines()
        raise UserError(
            f"init=timm:{name}: cannot be loaded: {type(error).__name__}: "
            f"{text[0] if text else 'no message'}"
        ) from error


def _load(path: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"init: {file}: no such file")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise UserError(f"init: {file}: damaged, or no safetensors file ({error})") from error


def _why_not_plain(model: Any) -> str | None:
    """What tensors do not show: another order of things, another activation."""
    from torch import nn

    if type(model).__name__ != "VisionTransformer" or not hasattr(model, "blocks"):
        return f"it is a {type(model).__name__}"
    block = model.blocks[0]
    if type(block).__name__ != "Block":
        return f"its layers are {type(block).__name__}"
    if type(block.attn).__name__ != "Attention":
        return f"its attention is {type(block.attn).__name__}"
    if not isinstance(block.mlp.act, nn.GELU) or block.mlp.act.approximate != "none":
        return f"its activation is {block.mlp.act}"
    if model.pos_embed is None:
        return "it has no table of positions"
    if not isinstance(model.norm, nn.LayerNorm):
        return "it has no layer norm in front of its pooling"
    if model.global_pool not in ("token", "avg"):
        return f"it pools by {model.global_pool!r}"
    if getattr(model, "pool_include_prefix", False) and model.global_pool == "avg":
        return "it pools over class and register tokens too"
    eps = {module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)}
    return f"its norms have several epsilons, {sorted(eps)}" if len(eps) > 1 else None
