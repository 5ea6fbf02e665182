"""Images from timm's data layer, and what a source may not give."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nas.config import DataConfig
from nas.data import SOURCES
from nas.data.dataset import check_raw, load_dataset
from search_spaces.errors import UserError
from tests.nas_tests.test_data import indices, write_images


def timm_config(name, root, **values):
    return DataConfig(
        **{"name": "timm", "path": f"{name}@{root}", "channels": 3, "image_size": 12, **values}
    )


def write_mnist(root, train, test):
    """torchvision's MNIST reads these files: a header of big-endian integers, then bytes."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        head = struct.pack(">iiii", 2051, count, 28, 28)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">ii", 2049, count)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    return pixels


def test_a_set_of_torchvision_keeps_its_own_test_images(tmp_path):
    last = write_mnist(tmp_path, train=100, test=30)
    config = timm_config("torch/mnist", tmp_path, channels=1, image_size=28)
    found = load_dataset(config)
    assert found.test_count == 30
    assert len(found.train) + len(found.val) == 100
    assert len(found.class_names) == 10
    opened = found.open_test("m")
    assert np.array_equal(opened.images_NCHW[:, 0].numpy(), last)
    assert opened.labels_N.tolist() == [i % 10 for i in range(30)]


def test_a_folder_through_timm_is_the_folder_itself(tmp_path):
    write_images(tmp_path / "train", count=6)
    write_images(tmp_path / "val", count=2)
    through = load_dataset(timm_config("torch/image_folder", tmp_path))
    direct = load_dataset(DataConfig(name="folder", path=str(tmp_path), channels=3, image_size=12))
    assert through.class_names == direct.class_names == ("cat", "dog")
    assert indices(through) == indices(direct)
    assert through.digest == direct.digest


def test_a_folder_without_parts_is_split_by_us(tmp_path):
    write_images(tmp_path / "cat_or_dog", count=10)
    found = load_dataset(timm_config("torch/image_folder", tmp_path / "cat_or_dog"))
    assert [len(part) for part in (found.train, found.val)] == [12, 4]
    assert found.test_count == 4


@pytest.mark.parametrize("path", [None, "cifar10", "torch/", "torchh/cifar10"])
def test_a_path_that_is_no_data_set_is_refused(path):
    with pytest.raises(UserError, match="KIND/NAME"):
        SOURCES["timm"].load(DataConfig(name="timm", path=path))


def test_an_unknown_or_unreadable_set_is_told_in_one_line(tmp_path):
    (tmp_path / "here").write_text("")
    with pytest.raises(UserError, match="Unknown torchvision dataset nothing"):
        load_dataset(timm_config("torch/nothing", tmp_path))
    with pytest.raises(UserError, match="cannot be read from"):
        load_dataset(timm_config("torch/mnist", tmp_path))


def test_more_pixels_than_the_cache_holds_are_refused(tmp_path):
    write_mnist(tmp_path, train=30, test=10)
    with pytest.raises(UserError, match=r"data.max_cache_mb=0.001"):
        load_dataset(timm_config("torch/mnist", tmp_path, max_cache_mb=0.001))


def test_unreadable_pictures_are_reported_not_replaced(tmp_path):
    write_images(tmp_path / "x", count=10)
    (tmp_path / "x" / "cat" / "3.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="1 of 20 images cannot be read"):
        load_dataset(timm_config("torch/image_folder", tmp_path / "x"))
    config = timm_config("torch/image_folder", tmp_path / "x", max_unreadable=0.1)
    assert len(load_dataset(config).skipped) == 1


# -- what no source may give -------------------------------------------------------------------


@pytest.fixture
def raw(tmp_path):
    root = write_images(tmp_path / "images", count=5)
    config = DataConfig(name="folder", path=str(root), channels=3, image_size=8)
    return SOURCES["folder"].load(config), config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: {"labels_N": r.labels_N + 1}, "has the label 2: allowed is 0 to 1"),
        (lambda r: {"labels_N": r.labels_N - 1}, "image 0 has the label -1"),
        (lambda r: {"labels_N": r.labels_N * 0}, "all images are of one class, 'cat'"),
        (lambda r: {"labels_N": r.labels_N[:-1]}, "10 images, 9 labels"),
        (lambda r: {"images_NCHW": r.images_NCHW[:, :2]}, r"shape \(2, 8, 8\): allowed is \(3,"),
        (lambda r: {"images_NCHW": r.images_NCHW / 255}, "float64 .*: allowed is uint8"),
    ],
)
def test_what_a_source_gives_is_checked(raw, change, said):
    images, config = raw
    check_raw(images, config)
    with pytest.raises(UserError, match=said):
        check_raw(replace(images, **change(images)), config)


def test_a_class_with_one_image_is_named(tmp_path):
    root = write_images(tmp_path / "images", count=5)
    (root / "owl").mkdir()
    Image.new("RGB", (9, 9)).save(root / "owl" / "0.png")
    with pytest.raises(UserError, match=r"class 'owl' has 1 image\(s\) to train on"):
        load_dataset(DataConfig(name="folder", path=str(root), channels=3))


def test_a_space_of_other_channels_is_refused(tmp_path, refusal):
    root = write_images(tmp_path / "images", count=5)
    words = ["run", "data=folder", f"data.path={root}", "space.channels=1", f"out_dir={tmp_path}"]
    assert "space.channels=1: the images of data.name='folder' are [32, 32] with 3" in refusal(
        *words
    )
