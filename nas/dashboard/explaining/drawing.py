"""Pictures of what happened to patches, as small PNG files in text form."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 192
_LINE = (213, 94, 0)
# Dark to light of one hue (as the figures' depth scale reversed): order survives colour blindness.
_HEAT = np.array([(8, 38, 74), (11, 93, 150), (74, 155, 201), (240, 228, 66)], dtype=np.float64)

Pixels = NDArray[np.uint8]


def to_pixels(image_CHW: NDArray[np.float32], mean: Any, std: Any) -> Pixels:
    """A normalised image as RGB pixels, ``SIDE`` high and wide."""
    shape = (len(mean), 1, 1)
    values = image_CHW * np.reshape(std, shape) + np.reshape(mean, shape)
    values = np.nan_to_num(values[:3]).clip(0, 1) * 255
    pixels_HWC = values.astype(np.uint8).transpose(1, 2, 0)
    if pixels_HWC.shape[2] < 3:
        pixels_HWC = np.repeat(pixels_HWC[:, :, :1], 3, axis=2)
    image = Image.fromarray(pixels_HWC).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.asarray(image)


def as_uri(image: Image.Image | Pixels) -> str:
    """A PNG that a page holds itself."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def heat(pixels: Pixels, relevance_RC: NDArray[np.float64]) -> Image.Image:
    """Relevance in [0, 1] over the image, as large as the image."""
    values = Image.fromarray((relevance_RC.clip(0, 1) * 255).astype(np.uint8))
    smooth = np.asarray(values.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255.0
    place = smooth * (len(_HEAT) - 1)
    low = np.floor(place).astype(int).clip(0, len(_HEAT) - 2)
    share = (place - low)[:, :, None]
    colour = _HEAT[low] * (1 - share) + _HEAT[low + 1] * share
    grey = pixels.mean(axis=2, keepdims=True)
    return Image.fromarray((0.35 * grey + 0.65 * colour).clip(0, 255).astype(np.uint8))


def fates(pixels: Pixels, parent_RC: NDArray[np.int64]) -> tuple[Image.Image, dict[str, int]]:
    """Which patches are kept, merged or pruned.

    Merged patches have their token's mean colour and no line between them; pruned ones are white
    with a cross; kept ones are as they were.

    Returns:
        The picture, and how many patches met which fate.
    """
    rows, columns = parent_RC.shape
    high, wide = SIDE / rows, SIDE / columns
    canvas = pixels.astype(np.float64).copy()
    counts = {"kept": 0, "merged": 0, "pruned": 0}
    boxes = {
        (r, c): (round(r * high), round((r + 1) * high), round(c * wide), round((c + 1) * wide))
        for r in range(rows)
        for c in range(columns)
    }
    for token in np.unique(parent_RC):
        places = [(int(r), int(c)) for r, c in np.argwhere(parent_RC == token)]
        fate = "pruned" if token < 0 else "kept" if len(places) == 1 else "merged"
        counts[fate] += len(places)
        if fate == "kept":
            continue
        cut = [boxes[place] for place in places]
        mean = np.mean([canvas[t:b, le:r].mean(axis=(0, 1)) for t, b, le, r in cut], axis=0)
        for top, bottom, left, right in cut:
            region = canvas[top:bottom, left:right]
            region[:] = 255.0 if fate == "pruned" else 0.35 * region + 0.65 * mean
    image = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for (r, c), (top, bottom, left, right) in boxes.items():
        token = parent_RC[r, c]
        if token < 0:
            pen.line((left + 2, top + 2, right - 3, bottom - 3), fill=_LINE)
            pen.line((left + 2, bottom - 3, right - 3, top + 2), fill=_LINE)
        if c + 1 < columns and parent_RC[r, c + 1] != token:
            pen.line((right, top, right, bottom), fill=_LINE)
        if r + 1 < rows and parent_RC[r + 1, c] != token:
            pen.line((left, bottom, right, bottom), fill=_LINE)
    return image, counts
