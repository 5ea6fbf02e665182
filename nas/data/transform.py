"""From any image to the model's input: the same pixels in training, search and use.

Shapes: B images, C channels, H by W pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from search_spaces.errors import UserError, bad_value

Picture = Image.Image | NDArray[Any] | torch.Tensor | str | Path

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, slots=True)
class Resize:
    """How a picture becomes a square of uint8 pixels.

    Attributes:
        image_size: side of the square, px.
        channels: 1, 3 or 4.
        fit: ``crop`` scales the short side and cuts the centre, ``pad`` scales the long side and
            fills with black, ``stretch`` ignores the aspect.
    """

    image_size: int
    channels: int
    fit: str = "crop"

    def __call__(self, picture: Image.Image) -> NDArray[np.uint8]:
        """``picture`` as ``(C, H, W)`` pixels."""
        side = (self.image_size, self.image_size)
        image = _to_mode(ImageOps.exif_transpose(picture), self.channels)
        bilinear = Image.Resampling.BILINEAR
        if self.fit == "crop":
            image = ImageOps.fit(image, side, method=bilinear)
        elif self.fit == "pad":
            image = ImageOps.pad(image, side, method=bilinear)
        else:
            image = image.resize(side, bilinear)
        pixels_HWC = np.asarray(image, dtype=np.uint8).reshape(*side, self.channels)
        # A copy in any case: Pillow's memory is read-only, which torch refuses to share.
        return pixels_HWC.transpose(2, 0, 1).copy()


@dataclass(frozen=True, slots=True)
class Transform:
    """Preprocessing of an exported model; stored in ``best.json``.

    Attributes:
        resize: geometry and channels.
        mean: per channel, of pixels in [0, 1], from the training images.
        std: likewise.
    """

    resize: Resize
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, picture: Picture) -> torch.Tensor:
        """One picture as a batch of one, ``(1, C, H, W)`` float32.

        Args:
            picture: a PIL image, a path, or an array ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)``:
                uint8, or floating with values in [0, 1].

        Raises:
            UserError: it cannot be read as an image.
        """
        pixels_CHW = self.resize(to_picture(picture))
        return self.normalise(torch.from_numpy(pixels_CHW).unsqueeze(0))

    def normalise(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """uint8 pixels as standardised float32, same shape and device."""
        return standardise(images_BCHW.float().div_(255.0), self.mean, self.std)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self.resize), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transform:
        """The inverse of ``to_dict``.

        Raises:
            UserError: a field is missing or of the wrong kind.
        """
        try:
            resize = Resize(int(data["image_size"]), int(data["channels"]), str(data["fit"]))
            mean = tuple(float(value) for value in data["mean"])
            std = tuple(float(value) for value in data["std"])
        except KeyError as error:
            raise UserError(f"transform: the field {error} is missing") from error
        except (TypeError, ValueError) as error:
            raise UserError(f"transform: a field has the wrong kind: {error}") from error
        if resize.channels not in _MODES:
            raise bad_value("transform.channels", resize.channels, "1, 3 or 4")
        if not len(mean) == len(std) == resize.channels or min(std) <= 0:
            raise bad_value("transform.std", data["std"], f"{resize.channels} numbers above 0")
        return cls(resize, mean, std)


def standardise(
    pixels_BCHW: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> torch.Tensor:
    """``(pixels - mean) / std`` per channel; the input, in [0, 1], is overwritten."""
    shape = (1, len(mean), 1, 1)
    return pixels_BCHW.sub_(pixels_BCHW.new_tensor(mean).view(shape)).div_(
        pixels_BCHW.new_tensor(std).view(shape)
    )


def to_picture(picture: Picture) -> Image.Image:
    """A PIL image of a path, an array or a tensor.

    Raises:
        UserError: the file cannot be read, or the array is no image.
    """
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str | Path):
        try:
            # Large pictures are read; what is too large for Pillow is an error of its own.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(picture) as opened:
                    opened.load()
                    return opened
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{picture}: unreadable image: {error}") from error
    array = picture.detach().cpu().numpy() if isinstance(picture, torch.Tensor) else picture
    return Image.fromarray(_as_uint8(array))


def channels_of(picture: Image.Image) -> int:
    """How many channels the file itself has: 1, 3 or 4."""
    if picture.mode in ("1", "L", "LA", "La", "F") or picture.mode.startswith("I"):
        return 1
    return 4 if picture.mode in ("RGBA", "RGBa") else 3


def _as_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    shape = array.shape
    if array.ndim == 3 and shape[0] in _MODES and shape[2] not in _MODES:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise bad_value("image shape", shape, "(H, W), (H, W, C) or (C, H, W) with C of 1, 3, 4")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    low, high = float(array.min()), float(array.max())
    if not np.issubdtype(array.dtype, np.floating) or not 0 <= low <= high <= 1:
        raise UserError(
            f"image of {array.dtype} from {low:g} to {high:g}: "
            "allowed is uint8, or floating numbers from 0 to 1"
        )
    return np.ascontiguousarray(np.rint(array * 255.0).astype(np.uint8))


def _to_mode(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit files: Pillow's own conversion to 8 bits clips instead of scaling.
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(wide >> 8, 0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    mode = _MODES[channels]
    return image if image.mode == mode else image.convert(mode)
