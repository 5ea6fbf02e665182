"""Serve model.onnx over HTTP: `python examples/serve_onnx.py runs/digits-cpu-s0/exports`.

Then: `curl --data-binary @three.png localhost:8000`. Needs onnxruntime, numpy and pillow only.
"""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder = Path(sys.argv[1])
names = json.loads((folder / "config.json").read_text())["id2label"]
how = json.loads((folder / "preprocessor_config.json").read_text())
side, mode = (
    how["crop_size"]["height"],
    {1: "L", 3: "RGB", 4: "RGBA"}[how["formfinder"]["channels"]],
)
fit = {"crop": ImageOps.fit, "pad": ImageOps.pad, "stretch": Image.Image.resize}[
    how["formfinder"]["fit"]
]
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        picture = Image.open(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))))
        picture = fit(ImageOps.exif_transpose(picture).convert(mode), (side, side), Image.BILINEAR)
        pixels_HWC = np.asarray(picture, np.float32).reshape(side, side, -1) / 255
        images = (pixels_HWC - np.float32(how["image_mean"])) / np.float32(how["image_std"])
        logits = session.run(None, {"images": images.transpose(2, 0, 1)[None]})[0][0]
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        answer = {"class": names[str(shares.argmax())], "probability": float(shares.max())}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


HTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8000), Handler).serve_forever()
