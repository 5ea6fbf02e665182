"""OpenVINO's intermediate representation; needs the extra ``openvino``."""

from __future__ import annotations

from pathlib import Path

from nas.export.format import Call, Format, Images, Material
from nas.export.formats import FORMATS

GRAPH, WEIGHTS = "openvino/model.xml", "openvino/model.bin"


@FORMATS.register
class OpenVinoIr(Format):
    """Read from the checked ONNX graph, any batch, weights in fp32."""

    name = "openvino"
    summary = "OpenVINO IR in fp32, any batch (extra openvino)"
    files = (GRAPH, WEIGHTS)
    runtime = "OpenVINO"
    clock = "wall"  # it computes in threads of its own

    def unavailable(self) -> str | None:
        """See ``Format.unavailable``."""
        from nas.runtimes.base import RUNTIMES

        return RUNTIMES["openvino"].unavailable()

    def write(self, material: Material, folder: Path) -> None:
        """See ``Format.write``."""
        import openvino

        FORMATS["onnx"].write(material, folder)
        made = folder / FORMATS["onnx"].files[0]
        model = openvino.convert_model(made)
        (folder / GRAPH).parent.mkdir(exist_ok=True)
        openvino.save_model(model, folder / GRAPH, compress_to_fp16=False)
        made.unlink()

    def open(self, folder: Path, threads: int) -> Call:
        """See ``Format.open``."""
        import openvino

        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = openvino.Core().compile_model(folder / GRAPH, "CPU", options)
        request = compiled.create_infer_request()

        def call(images_BCHW: Images) -> Images:
            logits: Images = request.infer({0: images_BCHW})[compiled.output(0)].copy()
            return logits

        return call
