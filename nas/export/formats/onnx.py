"""ONNX: any batch or a fixed one in fp32, and two ways to 8 bits."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from nas.export.format import Call, Format, Images, Material
from nas.export.formats import FORMATS


class Onnx(Format):
    """What the four have in common: they are run by ONNX Runtime."""

    runtime = "ONNX Runtime"
    dynamic_batch: ClassVar[bool] = True

    def write(self, material: Material, folder: Path) -> None:
        """See ``Format.write``."""
        import torch

        from nas.export.onnx import export_onnx

        export_onnx(
            material.model,
            torch.from_numpy(material.example_BCHW),
            folder / self.files[0],
            metadata={"digest": material.best["digest"]},
            dynamic_batch=self.dynamic_batch,
        )

    def open(self, folder: Path, threads: int) -> Call:
        """See ``Format.open``."""
        from nas.runtimes.onnxruntime import open_session

        session = open_session((folder / self.files[0]).read_bytes(), threads)
        name = session.get_inputs()[0].name

        def call(images_BCHW: Images) -> Images:
            logits: Images = session.run(None, {name: images_BCHW})[0]
            return logits

        return call


@FORMATS.register
class OnnxDynamic(Onnx):
    """The one to begin with."""

    name = "onnx"
    summary = "ONNX in fp32, any batch"
    files = ("model.onnx",)


@FORMATS.register
class OnnxStatic(Onnx):
    """For compilers that want every shape."""

    name = "onnx_static"
    summary = "ONNX in fp32, the profile's batch"
    files = ("model_static.onnx",)
    dynamic_batch = False
    fixed_batch = True


class OnnxInt8(Onnx):
    """Made from the checked fp32 file, for any batch."""

    exact = False

    @abstractmethod
    def quantised(self, content: bytes, material: Material) -> bytes:
        """The content with 8-bit weights."""

    def write(self, material: Material, folder: Path) -> None:
        """See ``Format.write``."""
        super().write(material, folder)
        path = folder / self.files[0]
        path.write_bytes(self.quantised(path.read_bytes(), material))


@FORMATS.register
class OnnxInt8Dynamic(OnnxInt8):
    """Activations are scaled by their range in each call: a batch shares its scales."""

    name = "onnx_int8"
    summary = "ONNX with int8 weights, activations scaled per call"
    files = ("model_int8.onnx",)

    def quantised(self, content: bytes, material: Material) -> bytes:
        """See ``quantise_dynamic``."""
        from nas.export.quantise import quantise_dynamic

        return quantise_dynamic(content)


@FORMATS.register
class OnnxInt8Static(OnnxInt8):
    """Activations are scaled as training images were: an image's answer is its own."""

    name = "onnx_int8_static"
    summary = "ONNX with int8 weights, activations calibrated on train"
    files = ("model_int8_static.onnx",)

    def quantised(self, content: bytes, material: Material) -> bytes:
        """See ``quantise_static``."""
        from nas.export.quantise import quantise_static

        return quantise_static(content, material.calibration)
