"""Data sets of torchvision and of the Hugging Face hub, through timm's data layer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.config import DataConfig
from nas.data import SOURCES
from nas.data.source import ANY, TEST, TRAIN, VAL, RawImages
from nas.data.transform import Resize
from search_spaces.errors import UserError, bad_value

PREFIXES = ("torch", "hfds", "hfids", "tfds", "wds")
CACHE = Path("~/.cache/formfinder/data")
_FOLDERS = ("torch/image_folder", "torch/folder")
_FORM = "KIND/NAME or KIND/NAME@FOLDER with KIND one of torch, hfds, hfids, tfds, wds"


@SOURCES.register
class Timm:
    """``data.path=torch/cifar10``, ``hfds/USER/NAME``; ``@FOLDER`` says where it lies or goes.

    What a data set calls train, validation and test stays so; what is missing is cut from train.
    Sets of torchvision with two parts have train and test. They are downloaded where they are
    not there.
    """

    name = "timm"
    summary = "torchvision's and Hugging Face's: data.path=torch/cifar10, hfds/USER/NAME"
    may_mirror = True
    defaults = MappingProxyType(
        {"image_size": 32, "channels": 3, "mirror": True, "padding": "reflection"}
    )

    def load(self, config: DataConfig) -> RawImages:
        """Decode every image of every part.

        Raises:
            UserError: no such data set, it cannot be read, too many unreadable images, or more
                pixels than ``config.max_cache_mb`` holds.
        """
        name, root = _place(config.path)
        resize = Resize(config.image_size, config.channels or 3, config.fit)
        most = int(config.max_cache_mb * 1e6) // (resize.channels * config.image_size**2)
        pixels: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        given: list[int] = []
        skipped: list[str] = []
        names: tuple[str, ...] = ()
        for part, dataset in _parts(name, root, config):
            names = names or _class_names(dataset)
            for index, (picture, label) in enumerate(_pictures(dataset)):
                if isinstance(picture, str):
                    skipped.append(f"{name}: image {index}: {picture}")
                    continue
                if len(pixels) >= most:
                    raise UserError(
                        f"data.max_cache_mb={config.max_cache_mb:g}: holds {most} images of "
                        f"{config.image_size} px, {name} has more: raise it, or lower "
                        f"data.image_size={config.image_size}"
                    )
                pixels.append(resize(picture))
                labels.append(label)
                given.append(part)
        if not pixels:
            raise UserError(f"data.path={config.path!r}: holds no image that can be read")
        if len(skipped) > config.max_unreadable * (len(pixels) + len(skipped)):
            raise UserError(
                f"data.max_unreadable={config.max_unreadable:g}: {len(skipped)} of "
                f"{len(pixels) + len(skipped)} images cannot be read, the first is {skipped[0]}"
            )
        return RawImages(
            images_NCHW=np.stack(pixels),
            labels_N=np.array(labels, dtype=np.int64),
            class_names=names or tuple(str(label) for label in range(max(labels) + 1)),
            given_N=np.array(given, dtype=np.int8),
            resize=resize,
            skipped=tuple(skipped),
        )


def _place(path: str | None) -> tuple[str, Path]:
    """``torch/cifar10@/data`` as timm's name and the folder."""
    name, _, folder = (path or "").partition("@")
    prefix, _, rest = name.partition("/")
    if prefix not in PREFIXES or not rest:
        raise bad_value("data.path", path, _FORM)
    return name, Path(folder).expanduser() if folder else CACHE.expanduser() / name


def _parts(name: str, root: Path, config: DataConfig) -> list[tuple[int, Any]]:
    """The data set's own divisions, each with what it is called here."""

    def made(split: str) -> Any:
        return _created(name, root, split, config)

    if name in _FOLDERS:
        there = [(f, g) for f, g in (("train", TRAIN), ("validation", VAL), ("test", TEST))]
        folders = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}
        found = [(s, g) for s, g in there if any((root / f).is_dir() for f in folders[s])]
        return [(g, made(s)) for s, g in found] if found else [(ANY, made("train"))]
    if name.startswith("torch/"):
        return [(TRAIN, made("train")), (TEST, made("validation"))]
    parts = [(TRAIN, made("train"))]
    for split, given in (("validation", VAL), ("test", TEST)):
        try:
            parts.append((given, _timm_dataset(name, root, split, config)))
        except (AssertionError, KeyError, ValueError):  # each reader's word for "no such split"
            continue
    return parts if len(parts) > 1 else [(ANY, parts[0][1])]


def _created(name: str, root: Path, split: str, config: DataConfig) -> Any:
    try:
        return _timm_dataset(name, root, split, config)
    except UserError:
        raise
    except Exception as error:  # timm, torchvision, datasets and the network raise their own
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"data.path={config.path!r}: cannot be read from {root}: "
            f"{type(error).__name__}: {first}"
        ) from error


def _timm_dataset(name: str, root: Path, split: str, config: DataConfig) -> Any:
    try:
        from timm.data.dataset_factory import create_dataset
    except ImportError as error:
        raise UserError(
            "data=timm: timm is not installed: pip install 'formfinder[pretrained]'"
        ) from error
    more: dict[str, Any] = {"input_img_mode": None} if name.startswith("torch/") else {}
    if name.startswith("torch/") and name not in _FOLDERS:
        root.mkdir(parents=True, exist_ok=True)
        more["download"] = not any(root.iterdir())
    return create_dataset(name, root=str(root), split=split, **more)


def _pictures(dataset: Any) -> Iterator[tuple[Image.Image | str, int]]:
    """Picture and label, or the reason why there is no picture."""
    reader = getattr(dataset, "reader", None)
    if reader is None or not hasattr(reader, "__getitem__"):
        source: Any = range(len(dataset)) if hasattr(dataset, "__getitem__") else dataset
        for item in source:
            try:
                picture, label = dataset[item] if isinstance(item, int) else item
            except (OSError, SyntaxError, ValueError) as error:
                yield str(error), -1
                continue
            yield picture, int(label)
        return
    # timm's own class would put the next picture in the place of one that it cannot read.
    for index in range(len(reader)):
        file, label = reader[index]
        try:
            picture = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)
            picture.load()
            yield picture, int(label)
        except (OSError, SyntaxError, ValueError) as error:
            yield str(error), -1


def _class_names(dataset: Any) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None)
    if names:
        return tuple(str(name) for name in names)
    reader = getattr(dataset, "reader", None)
    features = getattr(getattr(reader, "dataset", None), "features", None) or {}
    label = features.get(getattr(reader, "label_key", "label")) if features else None
    told = getattr(label, "names", None)
    if told:
        return tuple(told)
    known = getattr(reader, "class_to_idx", None) or {}
    return tuple(sorted(known, key=lambda name: known[name]))
