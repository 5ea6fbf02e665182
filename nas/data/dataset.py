"""Images in memory, divided for good: what training and search may see, and what they may not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from nas.config import DataConfig
from nas.data import SOURCES
from nas.data.source import RawImages
from nas.data.splits import Indices, Splits, draw_splits
from nas.data.transform import Transform
from search_spaces.errors import UserError, bad_value


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Some of the images.

    Attributes:
        images_NCHW: uint8.
        labels_N: int64.
    """

    images_NCHW: torch.Tensor
    labels_N: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels_N)


class SealedTest:
    """The test images, out of reach of whoever does not ask for them by name.

    They open once per model, and they do not travel: a copy in another process holds none.
    """

    __slots__ = ("_count", "_opened", "_split")

    def __init__(self, split: Split) -> None:
        self._split: Split | None = split
        self._count = len(split)
        self._opened: set[str] = set()

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"SealedTest({self._count} images)"

    def __reduce__(self) -> Any:
        return _emptied, (self._count,)

    def open(self, model: str) -> Split:
        """The test images, for the one evaluation of an exported model.

        Args:
            model: what is being exported: the digest of its weights.

        Raises:
            RuntimeError: asked a second time for one model, or in a process that searches.
        """
        if self._split is None:
            raise RuntimeError("the test split stays with the process that loaded the data")
        if model in self._opened:
            raise RuntimeError(f"the test split was already used for the model {model}")
        self._opened.add(model)
        return self._split


def _emptied(count: int) -> SealedTest:
    sealed = SealedTest.__new__(SealedTest)
    sealed._split, sealed._count, sealed._opened = None, count, set()
    return sealed


@dataclass(frozen=True, eq=False)
class Dataset:
    """Decoded images of all splits.

    Attributes:
        name: the source's name.
        train: for weights.
        val: for ranking.
        class_names: names by label.
        transform: preprocessing; mean and deviation come from train alone.
        splits: which image went where, by index.
        mirror: whether training may flip left to right.
        padding: what augmentation moves in at the borders.
        skipped: one line per image that could not be read.
    """

    name: str
    train: Split
    val: Split
    class_names: tuple[str, ...]
    transform: Transform
    splits: Splits
    mirror: bool
    padding: str
    skipped: tuple[str, ...]
    sealed_test: SealedTest = field(repr=False)

    @property
    def image_size(self) -> int:
        """Side of the images, px."""
        return self.transform.resize.image_size

    @property
    def test_count(self) -> int:
        """How many test images there are; looking at them is another matter."""
        return len(self.sealed_test)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.transform.resize.channels

    @property
    def digest(self) -> str:
        """Of images, labels and their division: what stored accuracies are valid for."""
        return self.splits.digest()

    def open_test(self, model: str) -> Split:
        """The test images; for the exporter, once per model. See ``SealedTest.open``."""
        return self.sealed_test.open(model)


def load_dataset(config: DataConfig, frozen: Splits | None = None) -> Dataset:
    """Decode the images and divide them.

    Args:
        config: which images.
        frozen: the division of an earlier start of this run; None draws one from ``config.seed``.

    Raises:
        UserError: the images cannot be used, or are not those that ``frozen`` divided.
    """
    source = SOURCES[config.name]
    if config.mirror and not source.may_mirror:
        raise bad_value("data.mirror", True, f"false: mirrored {config.name} mean something else")
    raw = source.load(config)
    check_raw(raw, config)
    splits = _divided(raw, config, frozen)
    train = _take(raw, splits.train)
    mean, std = channel_statistics(train.images_NCHW)
    return Dataset(
        name=config.name,
        train=train,
        val=_take(raw, splits.val),
        class_names=raw.class_names,
        transform=Transform(raw.resize, mean, std),
        splits=splits,
        mirror=config.mirror,
        padding=config.padding,
        skipped=raw.skipped,
        sealed_test=SealedTest(_take(raw, splits.test)),
    )


def _divided(raw: RawImages, config: DataConfig, frozen: Splits | None) -> Splits:
    digest = data_digest(raw)
    if frozen is None:
        return draw_splits(
            raw.labels_N,
            raw.given_N,
            raw.class_names,
            val_share=config.val_share,
            test_share=config.test_share,
            seed=config.seed,
            data_digest=digest,
        )
    if frozen.data_digest != digest:
        raise UserError(
            f"data.name={config.name!r}: the images are not those this run began with (digest "
            f"{digest}, was {frozen.data_digest}): allowed are the same ones, or another name=..."
        )
    return frozen


def check_raw(raw: RawImages, config: DataConfig) -> None:
    """Hold what a source gives, plug-ins included, against what it promises.

    Raises:
        UserError: labels without a class, images of other channels or size, or one class alone.
    """
    where = f"data.name={config.name!r}"
    count, known = len(raw.images_NCHW), len(raw.class_names)
    if raw.images_NCHW.dtype != np.uint8 or raw.images_NCHW.ndim != 4:
        raise UserError(
            f"{where}: images are {raw.images_NCHW.dtype} of shape {raw.images_NCHW.shape}: "
            "allowed is uint8 of shape (N, C, H, W)"
        )
    wanted = (raw.resize.channels, raw.resize.image_size, raw.resize.image_size)
    if raw.images_NCHW.shape[1:] != wanted:
        raise UserError(
            f"{where}: images have the shape {raw.images_NCHW.shape[1:]}: allowed is {wanted}"
        )
    if not len(raw.labels_N) == len(raw.given_N) == count:
        raise UserError(
            f"{where}: {count} images, {len(raw.labels_N)} labels, {len(raw.given_N)} splits: "
            "allowed is one of each"
        )
    outside = np.flatnonzero((raw.labels_N < 0) | (raw.labels_N >= known))
    if len(outside):
        raise UserError(
            f"{where}: image {outside[0]} has the label {raw.labels_N[outside[0]]}: allowed is "
            f"0 to {known - 1}, there are {known} classes"
        )
    present = np.unique(raw.labels_N)
    if len(present) < 2:
        only = raw.class_names[present[0]] if len(present) else "none"
        raise UserError(f"{where}: all images are of one class, {only!r}: allowed are two or more")


def data_digest(raw: RawImages) -> str:
    """16 hexadecimal digits of SHA-256 over pixels, labels, given splits and class names."""
    state = hashlib.sha256(repr((raw.images_NCHW.shape, raw.class_names)).encode())
    state.update(np.ascontiguousarray(raw.images_NCHW).data)
    state.update(raw.labels_N.astype("<i8").tobytes())
    state.update(raw.given_N.astype("<i1").tobytes())
    return state.hexdigest()[:16]


def channel_statistics(images_NCHW: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images, in units of [0, 1].

    Exact: from the 256 counts of each channel. A constant channel is given the deviation of one
    grey level, so that nothing is divided by zero.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255.0
    means, deviations = [], []
    for channel in range(images_NCHW.shape[1]):
        counts = torch.bincount(images_NCHW[:, channel].flatten(), minlength=256).double()
        share = counts / counts.sum()
        mean = float((share * levels).sum())
        variance = float((share * (levels - mean) ** 2).sum())
        means.append(mean)
        deviations.append(max(variance**0.5, 1 / 255))
    return tuple(means), tuple(deviations)


def _take(raw: RawImages, indices: Indices) -> Split:
    return Split(
        torch.from_numpy(raw.images_NCHW[indices]), torch.from_numpy(raw.labels_N[indices])
    )
