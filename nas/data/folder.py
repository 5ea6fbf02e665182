"""Your own images: one folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from nas.config import DataConfig
from nas.data import SOURCES
from nas.data.source import ANY, TEST, TRAIN, VAL, RawImages
from nas.data.transform import Resize, channels_of, to_picture
from search_spaces.errors import UserError, bad_value, no_folder

_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
_SPLIT_FOLDERS = (("train", TRAIN), ("val", VAL), ("test", TEST))


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    label: int
    given: int


@SOURCES.register
class Folder:
    """``root/CLASS/*``, split by us, or ``root/train/CLASS/*`` with or without val and test."""

    name = "folder"
    summary = "your images: data.path=ROOT with ROOT/CLASS/* or ROOT/train/CLASS/*"
    may_mirror = True
    defaults = MappingProxyType(
        {"image_size": 32, "channels": 3, "mirror": True, "padding": "reflection"}
    )

    def load(self, config: DataConfig) -> RawImages:
        """Decode every image below ``config.path``.

        Raises:
            UserError: no such folder, nothing in it, a class without images, one class only,
                too many unreadable files, images of unlike channels where ``config.channels`` is
                null, or more pixels than ``config.max_cache_mb`` holds.
        """
        root = _root(config.path)
        class_names, files = _listing(root)
        channels = config.channels or _first_channels(files)
        _check_memory(len(files), channels, config)
        resize = Resize(config.image_size, channels, config.fit)
        images_NCHW = np.empty(
            (len(files), channels, config.image_size, config.image_size), dtype=np.uint8
        )
        kept: list[_File] = []
        skipped: list[str] = []
        strict = config.channels is None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(partial(_decode, resize=resize, strict=strict), files)
            for file, pixels in zip(files, decoded, strict=True):
                if isinstance(pixels, str):
                    skipped.append(pixels)
                    continue
                images_NCHW[len(kept)] = pixels
                kept.append(file)
        _check_skipped(skipped, len(files), config.max_unreadable)
        return RawImages(
            images_NCHW=images_NCHW[: len(kept)],
            labels_N=np.array([file.label for file in kept], dtype=np.int64),
            class_names=class_names,
            given_N=np.array([file.given for file in kept], dtype=np.int8),
            resize=resize,
            skipped=tuple(skipped),
        )


def _root(path: str | None) -> Path:
    if path is None:
        raise bad_value("data.path", path, "a folder of images, e.g. data.path=photos")
    root = Path(path).expanduser()
    if root.is_dir():
        return root
    raise no_folder(f"data.path={path!r}", root)


def _listing(root: Path) -> tuple[tuple[str, ...], list[_File]]:
    """The classes and all image files, in an order that does not depend on the file system."""
    if not (root / "train").is_dir():
        names = _subfolders(root)
        _check_classes(root, names)
        return names, list(_files(root, names, ANY))
    names = _subfolders(root / "train")
    _check_classes(root / "train", names)
    files: list[_File] = []
    for folder, given in _SPLIT_FOLDERS:
        if (root / folder).is_dir():
            for extra in sorted(set(_subfolders(root / folder)) - set(names)):
                raise UserError(
                    f"data.path: {root / folder / extra} is a class that {root / 'train'} "
                    f"does not have (known: {', '.join(names[:20])})"
                )
            files.extend(_files(root / folder, names, given))
    return names, files


def _subfolders(folder: Path) -> tuple[str, ...]:
    return tuple(
        sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    )


def _check_classes(folder: Path, names: tuple[str, ...]) -> None:
    if not names:
        raise UserError(f"data.path: {folder} is empty: allowed is one folder of images per class")
    if len(names) == 1:
        raise UserError(
            f"data.path: {folder} holds the one class {names[0]!r}: allowed are two or more"
        )


def _files(folder: Path, names: tuple[str, ...], given: int) -> Iterator[_File]:
    for label, name in enumerate(names):
        below = folder / name
        paths = sorted(p for p in below.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not paths and given != TEST and (given != VAL or below.is_dir()):
            raise UserError(
                f"data.path: the class folder {below} holds no image "
                f"(known: {' '.join(sorted(_SUFFIXES))})"
            )
        for path in paths:
            yield _File(path, label, given)


def _first_channels(files: list[_File]) -> int:
    for file in files:
        try:
            return channels_of(to_picture(file.path))
        except UserError:
            continue
    raise UserError(f"data.path: none of {len(files)} images can be read, {files[0].path} first")


def _check_memory(count: int, channels: int, config: DataConfig) -> None:
    needed_mb = count * channels * config.image_size**2 / 1e6
    if needed_mb > config.max_cache_mb:
        raise UserError(
            f"data.max_cache_mb={config.max_cache_mb:g}: {count} images of {config.image_size} px "
            f"need {needed_mb:.0f} MB: raise it, or lower data.image_size={config.image_size}"
        )


def _decode(file: _File, resize: Resize, strict: bool) -> NDArray[np.uint8] | str:
    """The pixels, or the line that says why there are none."""
    try:
        picture = to_picture(file.path)
        pixels_CHW = resize(picture)
    except UserError as error:
        return str(error)
    except (OSError, SyntaxError, ValueError) as error:
        return f"{file.path}: unreadable image: {error}"
    if strict and channels_of(picture) != resize.channels:
        raise UserError(
            f"data.channels=None: {file.path} has {channels_of(picture)} channel(s), images before "
            f"it have {resize.channels}: set data.channels=1 or 3 to convert them all"
        )
    return pixels_CHW


def _check_skipped(skipped: list[str], count: int, allowed: float) -> None:
    if len(skipped) > allowed * count:
        raise UserError(
            f"data.max_unreadable={allowed:g}: {len(skipped)} of {count} images cannot be read, "
            f"the first is {skipped[0]}"
        )
