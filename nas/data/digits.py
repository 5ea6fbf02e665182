"""Handwritten digits that come with scikit-learn: 1,797 real images, no download.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from PIL import Image

from nas.config import DataConfig
from nas.data import SOURCES
from nas.data.source import ANY, RawImages
from nas.data.transform import Resize
from search_spaces.errors import bad_value

_WHITE = 16  # the data's own largest value


@SOURCES.register
class Digits:
    """8 by 8 grey images of ten classes, scaled bilinearly to the size asked for."""

    name = "digits"
    summary = "1,797 handwritten digits bundled with scikit-learn, 10 classes, grey"
    may_mirror = False  # a mirrored 2 is no digit
    # Eight at once: beside networks this small the call itself would be most of the latency.
    defaults = MappingProxyType(
        {"image_size": 16, "channels": 1, "padding": "zeros", "images_per_call": 8}
    )

    def load(self, config: DataConfig) -> RawImages:
        """Decode all digits at ``config.image_size``.

        Raises:
            UserError: more channels than grey are asked for.
        """
        from sklearn.datasets import load_digits

        if config.channels not in (1, None):
            raise bad_value("data.channels", config.channels, "1 for digits, which are grey")
        bunch = load_digits()
        small_NHW = np.rint(bunch.images * (255 / _WHITE)).astype(np.uint8)
        resize = Resize(config.image_size, 1, "stretch")
        images_NCHW = np.stack([resize(Image.fromarray(image)) for image in small_NHW])
        return RawImages(
            images_NCHW=images_NCHW,
            labels_N=bunch.target.astype(np.int64),
            class_names=tuple(str(name) for name in bunch.target_names),
            given_N=np.full(len(images_NCHW), ANY, dtype=np.int8),
            resize=resize,
        )
