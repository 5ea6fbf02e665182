"""`python serve_onnx.py runs/NAME/exports 8000`, `curl --data-binary @a.png localhost:8000`."""

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, port = Path(sys.argv[1]), int(sys.argv[2])
names = json.loads((folder / "config.json").read_text())["id2label"]
how = json.loads((folder / "preprocessor_config.json").read_text())
fits = {"crop": ImageOps.fit, "pad": ImageOps.pad, "stretch": Image.Image.resize}
fit, side = fits[how["formfinder"]["fit"]], how["crop_size"]["height"]
mode = {1: "L", 3: "RGB", 4: "RGBA"}[how["formfinder"]["channels"]]
session = onnxruntime.InferenceSession(folder / "model.onnx")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        picture = Image.open(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))))
        picture = fit(ImageOps.exif_transpose(picture).convert(mode), (side, side), Image.BILINEAR)
        x_HWC = np.asarray(picture, np.float32).reshape(side, side, -1) / 255
        x_HWC = (x_HWC - np.float32(how["image_mean"])) / np.float32(how["image_std"])
        logits_K = session.run(None, {"images": x_HWC.transpose(2, 0, 1)[None]})[0][0]
        share_K = np.exp(logits_K - logits_K.max()) / np.exp(logits_K - logits_K.max()).sum()
        answer = {"class": names[str(share_K.argmax())], "probability": float(share_K.max())}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


HTTPServer(("127.0.0.1", port), Handler).serve_forever()
