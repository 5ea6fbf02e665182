"""Sources, splits and the dataset value."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from nas.config import DataConfig
from nas.data.dataset import channel_statistics, load_dataset
from nas.data.source import ANY, TEST, TRAIN, VAL
from nas.data.splits import Splits, draw_splits
from search_spaces.errors import UserError


@pytest.fixture(scope="module")
def digits():
    return load_dataset(DataConfig())


def write_images(root, classes=("cat", "dog"), count=10, mode="RGB", size=(12, 9)):
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for index in range(count):
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def folder_config(root, **values):
    return DataConfig(**{"name": "folder", "path": str(root), "channels": 3, **values})


def indices(dataset):
    splits = dataset.splits
    return [set(part.tolist()) for part in (splits.train, splits.val, splits.test)]


def test_digits_are_decoded_at_the_size_asked_for(digits):
    assert digits.train.images_NCHW.shape[1:] == (1, 16, 16)
    assert digits.train.images_NCHW.dtype == torch.uint8
    assert len(digits.train) + len(digits.val) + len(digits.sealed_test) == 1797
    assert digits.class_names == tuple("0123456789")
    assert digits.train.images_NCHW.max() == 255


def test_splits_share_no_image_and_leave_none_out(digits):
    train, val, test = indices(digits)
    assert not train & val
    assert not train & test
    assert not val & test
    assert len(train | val | test) == 1797


def test_splits_are_stratified(digits):
    share = torch.bincount(digits.val.labels_N) / torch.bincount(
        torch.cat([digits.train.labels_N, digits.val.labels_N])
    )
    assert torch.allclose(share, torch.tensor(0.25), atol=0.01)


def test_the_split_depends_on_the_seed_alone(digits):
    again, other = load_dataset(DataConfig()), load_dataset(DataConfig(seed=1))
    assert again.digest == digits.digest
    assert other.digest != digits.digest
    assert other.splits.data_digest == digits.splits.data_digest


def test_a_frozen_split_is_kept_whatever_the_seed_says(digits):
    frozen = Splits.from_dict(digits.splits.to_dict())
    assert load_dataset(DataConfig(seed=9), frozen).digest == digits.digest


def test_a_frozen_split_of_other_images_is_refused(digits):
    with pytest.raises(UserError, match=r"not those this run began with"):
        load_dataset(DataConfig(image_size=8), digits.splits)


def test_an_edited_split_file_is_refused(digits):
    data = digits.splits.to_dict()
    data["val"], data["test"] = data["test"], data["val"]
    with pytest.raises(UserError, match="digest"):
        Splits.from_dict(data)


def test_statistics_come_from_train_alone_and_are_exact(digits):
    pixels = digits.train.images_NCHW.double() / 255
    assert digits.transform.mean[0] == pytest.approx(float(pixels.mean()), abs=1e-12)
    assert digits.transform.std[0] == pytest.approx(float(pixels.std(correction=0)), abs=1e-12)


def test_a_constant_channel_does_not_divide_by_zero():
    mean, std = channel_statistics(torch.full((3, 1, 2, 2), 255, dtype=torch.uint8))
    assert mean == (1.0,)
    assert std == (1 / 255,)


def test_digits_may_not_be_mirrored():
    with pytest.raises(UserError, match=r"data\.mirror=True"):
        load_dataset(DataConfig(mirror=True))


def test_digits_are_grey():
    with pytest.raises(UserError, match=r"data\.channels=3"):
        load_dataset(DataConfig(channels=3))


def test_the_test_split_opens_once_per_model(digits):
    sealed = load_dataset(DataConfig())
    assert len(sealed.open_test("a")) == len(digits.sealed_test)
    assert len(sealed.open_test("b")) == len(digits.sealed_test)
    with pytest.raises(RuntimeError, match="already used"):
        sealed.open_test("a")


def test_the_test_split_does_not_travel(digits):
    travelled = pickle.loads(pickle.dumps(digits))
    assert torch.equal(travelled.val.images_NCHW, digits.val.images_NCHW)
    assert len(travelled.sealed_test) == len(digits.sealed_test)
    with pytest.raises(RuntimeError, match="stays with the process"):
        travelled.open_test("a")


def test_draw_splits_gives_each_class_its_share_and_at_least_one():
    labels = np.repeat(np.arange(2), [100, 3])
    given = np.full(103, ANY, dtype=np.int8)
    drawn = draw_splits(
        labels, given, ("a", "b"), val_share=0.2, test_share=0.1, seed=0, data_digest="x"
    )
    assert np.bincount(labels[drawn.train]).tolist() == [70, 1]
    assert np.bincount(labels[drawn.val]).tolist() == [20, 1]
    assert np.bincount(labels[drawn.test]).tolist() == [10, 1]


def test_given_splits_stay_and_missing_ones_are_cut_from_train():
    labels = np.tile(np.arange(2), 20)
    given = np.full(40, TRAIN, dtype=np.int8)
    given[30:] = TEST
    drawn = draw_splits(
        labels, given, ("a", "b"), val_share=0.2, test_share=0.2, seed=0, data_digest="x"
    )
    assert drawn.test.tolist() == list(range(30, 40))
    assert len(drawn.val) == 6
    given[24:30] = VAL
    drawn = draw_splits(
        labels, given, ("a", "b"), val_share=0.2, test_share=0.2, seed=0, data_digest="x"
    )
    assert drawn.val.tolist() == list(range(24, 30))
    assert drawn.train.tolist() == list(range(24))


def test_a_class_too_small_to_split_is_named():
    with pytest.raises(UserError, match=r"class 'b' has 2 image"):
        draw_splits(
            np.repeat(np.arange(2), [9, 2]),
            np.full(11, ANY, dtype=np.int8),
            ("a", "b"),
            val_share=0.2,
            test_share=0.2,
            seed=0,
            data_digest="x",
        )


def test_a_folder_of_classes_is_split_by_us(tmp_path):
    dataset = load_dataset(folder_config(write_images(tmp_path), image_size=8))
    assert dataset.class_names == ("cat", "dog")
    assert [len(dataset.train), len(dataset.val), len(dataset.sealed_test)] == [12, 4, 4]
    assert dataset.channels == 3
    assert dataset.image_size == 8


def test_a_folder_with_splits_keeps_them(tmp_path):
    for part, count in (("train", 5), ("val", 3), ("test", 2)):
        write_images(tmp_path / part, count=count)
    dataset = load_dataset(folder_config(tmp_path, image_size=8))
    assert [len(dataset.train), len(dataset.val), len(dataset.sealed_test)] == [10, 6, 4]


def test_grey_and_colour_files_are_converted_to_the_channels_asked_for(tmp_path):
    write_images(tmp_path)
    for path in (tmp_path / "dog").iterdir():
        Image.open(path).convert("L").save(path)
    grey = load_dataset(folder_config(tmp_path, channels=1))
    assert grey.channels == 1
    with pytest.raises(UserError, match=r"data\.channels=None: .*dog.* has 1 channel"):
        load_dataset(folder_config(tmp_path, channels=None))


def test_channels_are_read_from_the_files_where_they_agree(tmp_path):
    write_images(tmp_path, mode="L")
    assert load_dataset(folder_config(tmp_path, channels=None)).channels == 1


def test_unreadable_images_are_skipped_up_to_the_stated_share(tmp_path):
    write_images(tmp_path)
    broken = tmp_path / "cat" / "0.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (tmp_path / "dog" / "3.jpg").write_text("no image at all")
    dataset = load_dataset(folder_config(tmp_path, max_unreadable=0.2))
    assert len(dataset.train) + len(dataset.val) + len(dataset.sealed_test) == 19
    assert len(dataset.skipped) == 2
    assert str(broken) in dataset.skipped[0]
    with pytest.raises(UserError, match=r"data\.max_unreadable=0\.05: 2 of 21 .*0\.png"):
        load_dataset(folder_config(tmp_path, max_unreadable=0.05))


def test_the_digest_follows_the_pixels(tmp_path):
    write_images(tmp_path)
    before = load_dataset(folder_config(tmp_path)).splits.data_digest
    Image.new("RGB", (12, 9)).save(tmp_path / "cat" / "0.png")
    assert load_dataset(folder_config(tmp_path)).splits.data_digest != before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "photoz", r"no such folder; did you mean '.*photos'"),
        (lambda root: root / "photos", r"is empty: allowed is one folder of images per class"),
        (lambda root: write_images(root / "one", ("cat",)), r"holds the one class 'cat'"),
    ],
)
def test_folders_that_cannot_be_used_are_told_in_one_line(tmp_path, make, message):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        load_dataset(folder_config(make(tmp_path)))
    assert "\n" not in str(caught.value)


def test_a_class_without_images_is_named(tmp_path):
    write_images(tmp_path)
    (tmp_path / "eel").mkdir()
    (tmp_path / "eel" / "notes.txt").write_text("none yet")
    with pytest.raises(UserError, match=r"class folder .*eel holds no image"):
        load_dataset(folder_config(tmp_path))


def test_a_class_that_only_the_held_out_part_has_is_named(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "test", ("cat", "dog", "eel"))
    with pytest.raises(UserError, match=r"eel is a class that .*train does not have"):
        load_dataset(folder_config(tmp_path))


def test_no_path_and_no_memory_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.path=None"):
        load_dataset(DataConfig(name="folder", channels=3))
    with pytest.raises(UserError, match=r"data\.max_cache_mb=0\.01: 20 images"):
        load_dataset(folder_config(write_images(tmp_path), max_cache_mb=0.01))


def test_an_unknown_source_is_told_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'digits'"):
        load_dataset(DataConfig(name="digit"))
