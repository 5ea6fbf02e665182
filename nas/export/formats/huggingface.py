"""The folder layout of Hugging Face: configuration, weights and preprocessing as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.export.format import Call, Format, Material, module_call
from nas.export.formats import FORMATS
from nas.run_folder import read_json, write_json

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
_RESAMPLE_BILINEAR = 2  # Pillow's number, as image processors store it


def preprocessor(transform: dict[str, Any]) -> dict[str, Any]:
    """``preprocessor_config.json`` in the words of transformers' image processors.

    ``crop`` is their resize of the short side and centre crop, ``stretch`` their resize alone;
    ``pad`` has no equal there and is named.
    """
    side, fit = transform["image_size"], transform["fit"]
    square = {"height": side, "width": side}
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": transform["channels"] == 3,
        "do_resize": True,
        "size": {"shortest_edge": side} if fit == "crop" else square,
        "do_center_crop": fit == "crop",
        "crop_size": square,
        "resample": _RESAMPLE_BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": transform["mean"],
        "image_std": transform["std"],
        "formfinder": {"fit": fit, "channels": transform["channels"]},
    }


@FORMATS.register
class HuggingFace(Format):
    """The model from ``config.json`` and the weights alone."""

    name = "huggingface"
    summary = "config.json, model.safetensors, preprocessor_config.json"
    files = (CONFIG, WEIGHTS, PREPROCESSOR)
    runtime = "PyTorch"

    def write(self, material: Material, folder: Path) -> None:
        """See ``Format.write``."""
        from supernet.training.checkpoint import save_tensors

        best, classes = material.best, material.classes
        config = {
            "model_type": "formfinder",
            "architectures": ["VisionTransformer"],
            "id2label": {str(index): name for index, name in enumerate(classes)},
            "label2id": {name: index for index, name in enumerate(classes)},
            "image_size": best["transform"]["image_size"],
            "num_channels": best["transform"]["channels"],
            "torch_dtype": "float32",
            "formfinder_version": best["formfinder_version"],
            "digest": best["digest"],
            "architecture": best["architecture"],
        }
        write_json(folder / CONFIG, config)
        write_json(folder / PREPROCESSOR, preprocessor(dict(best["transform"])))
        save_tensors(folder / WEIGHTS, material.model.state_dict(), {"format": "pt"})

    def open(self, folder: Path, threads: int) -> Call:
        """See ``Format.open``."""
        from safetensors.torch import load_file

        from search_spaces.architecture import Architecture
        from supernet.extract import build_model

        config = read_json(folder / CONFIG)
        architecture = Architecture.from_dict(config["architecture"])
        model = build_model(architecture, len(config["id2label"]))
        model.load_state_dict(load_file(folder / WEIGHTS))
        return module_call(model.eval(), threads)
