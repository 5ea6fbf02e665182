"""What a source of images has to offer: decoded pixels, labels and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nas.config import DataConfig
from nas.data.transform import Resize

# Where the data itself says which split an image belongs to.
ANY, TRAIN, VAL, TEST = -1, 0, 1, 2


@dataclass(frozen=True, eq=False)
class RawImages:
    """Every image of a source, decoded once.

    Attributes:
        images_NCHW: uint8 pixels.
        labels_N: int64 class of each image.
        class_names: names by label.
        given_N: int8, the split that the source prescribes: ``ANY``, ``TRAIN``, ``VAL``, ``TEST``.
        resize: how the pixels were brought to their size; inference repeats it.
        skipped: one line for each image that could not be read.
    """

    images_NCHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    class_names: tuple[str, ...]
    given_N: NDArray[np.int8]
    resize: Resize
    skipped: tuple[str, ...] = field(default=())


class DataSource(Protocol):
    """One way to get images.

    Attributes:
        name: as in ``data.name=``.
        summary: one line for ``formfinder list data``.
        may_mirror: whether an image flipped left to right still shows the same thing.
        defaults: what ``data=NAME`` sets beside the name.
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def may_mirror(self) -> bool: ...

    @property
    def defaults(self) -> Mapping[str, object]: ...

    def load(self, config: DataConfig) -> RawImages:
        """Decode every image at ``config.image_size``.

        Raises:
            UserError: the images cannot be used; the message says which and why.
        """
        ...
