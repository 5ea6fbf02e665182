"""Vision transformers in Hugging Face's format (``model_type: vit``): of the hub, or a folder."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError
from supernet.importing.sources import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from supernet.importing.imported import Imported

CONFIG, WEIGHTS_FILE, IMAGES = "config.json", "model.safetensors", "preprocessor_config.json"
_SAME = {  # in front: ours, as timm's
    r"embeddings\.cls_token": "cls_token",
    r"embeddings\.position_embeddings": "pos_embed",
    r"embeddings\.patch_embeddings\.projection": "patch_embed.proj",
    r"encoder\.layer\.(\d+)\.layernorm_before": r"blocks.\1.norm1",
    r"encoder\.layer\.(\d+)\.layernorm_after": r"blocks.\1.norm2",
    r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)": r"blocks.\1.attn.\2",
    r"encoder\.layer\.(\d+)\.attention\.output\.dense": r"blocks.\1.attn.proj",
    r"encoder\.layer\.(\d+)\.intermediate\.dense": r"blocks.\1.mlp.fc1",
    r"encoder\.layer\.(\d+)\.output\.dense": r"blocks.\1.mlp.fc2",
    r"layernorm": "norm",
}
_UNUSED = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.mask_token")


@WEIGHTS.register
class HuggingFaceWeights:
    """``hf:OWNER/NAME`` of the hub, or ``hf:FOLDER`` with config.json and model.safetensors."""

    name = "hf"
    summary = "a plain ViT of Hugging Face: hf:OWNER/NAME, hf:FOLDER"

    def read(self, where: str) -> Imported:
        """See ``WeightsReader.read``."""
        from supernet.importing.plain import PlainSettings, from_plain

        origin, folder = f"hf:{where}", Path(where).expanduser()
        files = _local(folder) if folder.is_dir() else _download(where)
        config = _read_json(files[CONFIG])
        reason = _why_not_plain(config)
        if reason is not None:
            raise UserError(f"{origin}: no plain vision transformer: {reason}")
        images = _read_json(files[IMAGES]) if IMAGES in files else {}
        settings = PlainSettings(
            heads=int(config["num_attention_heads"]),
            eps=float(config.get("layer_norm_eps", 1e-12)),
            pooling="class",
            mean=tuple(images["image_mean"]) if "image_mean" in images else None,
            std=tuple(images["image_std"]) if "image_std" in images else None,
        )
        return from_plain(origin, _renamed(_load(files[WEIGHTS_FILE])), settings)


def _local(folder: Path) -> dict[str, Path]:
    found = {name: folder / name for name in (CONFIG, WEIGHTS_FILE, IMAGES)}
    found = {name: path for name, path in found.items() if path.is_file()}
    for name in (CONFIG, WEIGHTS_FILE):
        if name not in found:
            raise UserError(f"init=hf:{folder}: the folder has no {name}")
    return found


def _download(name: str) -> dict[str, Path]:
    try:
        from huggingface_hub import hf_hub_download, list_models
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise UserError(
            f"init=hf:{name}: no such folder, and huggingface_hub is not installed: "
            "pip install huggingface_hub"
        ) from error
    found = {}
    try:
        for file in (CONFIG, WEIGHTS_FILE):
            found[file] = Path(hf_hub_download(name, file))
        with contextlib.suppress(EntryNotFoundError):
            found[IMAGES] = Path(hf_hub_download(name, IMAGES))
    except RepositoryNotFoundError as error:
        word = name.rpartition("/")[2].split("-")[0]
        known = [model.id for model in list_models(search=word, filter="vit", limit=500)]
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; the nearest are {', '.join(close)}" if close else ""
        raise UserError(f"init=hf:{name}: no such model (or a private one){hint}") from error
    except Exception as error:  # hub and network each raise their own
        text = str(error).strip().splitlines()
        raise UserError(
            f"init=hf:{name}: no such folder, and it cannot be downloaded: "
            f"{text[0] if text else type(error).__name__}"
        ) from error
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error})") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a JSON object")
    return found


def _load(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: damaged, or no safetensors file ({error})") from error


def _why_not_plain(config: Mapping[str, Any]) -> str | None:
    if config.get("model_type") != "vit":
        return f"its model_type is {config.get('model_type')!r}, not 'vit'"
    if config.get("hidden_act", "gelu") != "gelu":
        return f"its activation is {config['hidden_act']!r}"
    if "num_attention_heads" not in config:
        return "its config.json names no num_attention_heads"
    return None


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's names to timm's, with q, k and v as one."""
    import torch

    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.removeprefix("vit.")
        if plain in _UNUSED:
            continue
        made[_timm_name(plain)] = tensor
    for name in [name for name in made if ".attn.query." in name]:
        others = [name.replace("query", other) for other in ("query", "key", "value")]
        if all(other in made for other in others):
            made[name.replace("query", "qkv")] = torch.cat([made.pop(other) for other in others])
    return made


def _timm_name(name: str) -> str:
    stem, dot, leaf = name.rpartition(".")
    if stem == "classifier":
        return f"head.{leaf}"
    for theirs, ours in _SAME.items():
        for text, rest in ((name, ""), (stem, f"{dot}{leaf}")):
            if re.fullmatch(theirs, text):
                return re.sub(theirs, ours, text) + rest
    return name
