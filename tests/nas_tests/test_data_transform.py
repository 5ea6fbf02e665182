"""Preprocessing for use, and augmentation for training."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from nas.config import AugmentationConfig, DataConfig
from nas.data.augment import Augment, generator_for, shuffled_batches
from nas.data.dataset import load_dataset
from nas.data.transform import Resize, Transform
from search_spaces.errors import UserError

NONE = AugmentationConfig(rotate_deg=0, scale=0, shift=0, erase_probability=0, erase_area=0)


@pytest.fixture(scope="module")
def digits():
    return load_dataset(DataConfig())


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    root = tmp_path_factory.mktemp("mirrored")
    rng = np.random.default_rng(0)
    for name in "ab":
        (root / name).mkdir()
        for index in range(6):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return load_dataset(
        DataConfig(name="folder", path=str(root), channels=3, image_size=8, mirror=True)
    )


def gradient(width, height, mode="RGB"):
    row = np.linspace(0, 255, width).astype(np.uint8)
    return Image.fromarray(np.tile(row, (height, 1))).convert(mode)


def test_a_picture_of_the_data_becomes_the_pixels_that_were_trained_on(digits):
    from sklearn.datasets import load_digits

    index = int(digits.splits.train[5])
    small = np.rint(load_digits().images[index] * (255 / 16)).astype(np.uint8)
    expected = digits.transform.normalise(digits.train.images_NCHW[5:6])
    assert torch.equal(digits.transform(Image.fromarray(small)), expected)
    assert torch.equal(digits.transform(small), expected)
    assert torch.equal(digits.transform(small[None].astype(np.float32) / 255), expected)


def test_a_transform_survives_json(digits):
    data = json.loads(json.dumps(digits.transform.to_dict()))
    assert Transform.from_dict(data) == digits.transform


@pytest.mark.parametrize(
    ("field", "value"), [("std", [0.0]), ("std", [1, 1]), ("channels", 2), ("mean", None)]
)
def test_an_edited_transform_is_refused(digits, field, value):
    with pytest.raises(UserError, match="transform"):
        Transform.from_dict(digits.transform.to_dict() | {field: value})
    data = digits.transform.to_dict()
    del data[field]
    with pytest.raises(UserError, match=f"'{field}' is missing"):
        Transform.from_dict(data)


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_kind_of_picture_fits(fit, mode, channels):
    if mode == "I;16":
        picture = Image.fromarray(np.full((9, 12), 40000, dtype=np.uint16))
    else:
        picture = gradient(12, 9).convert(mode)
    pixels = Resize(8, channels, fit)(picture)
    assert pixels.shape == (channels, 8, 8)
    assert pixels.dtype == np.uint8


def test_16_bit_grey_is_scaled_not_clipped():
    picture = Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))
    assert Resize(8, 1)(picture).max() == 0x80


def test_fits_differ_as_they_say():
    picture = gradient(40, 10, "L")
    crop, stretch, pad = (Resize(10, 1, fit)(picture)[0] for fit in ("crop", "stretch", "pad"))
    assert np.ptp(crop[5].astype(int)) < 100 < np.ptp(stretch[5].astype(int))
    assert pad[0].max() == 0
    assert pad[5].max() > 0


def test_the_camera_s_orientation_is_followed(tmp_path):
    picture = gradient(8, 8, "L")
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    pixels = Resize(8, 1)(Image.open(tmp_path / "turned.jpg"))[0]
    assert pixels[:, 0].mean() > pixels[:, -1].mean()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3, 4, 5), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((0, 5), np.uint8),
        np.full((5, 5), 2.0),
        np.full((5, 5), np.nan),
        np.zeros((5, 5), np.int64),
    ],
)
def test_arrays_that_are_no_images_are_refused(digits, array):
    with pytest.raises(UserError, match="image"):
        digits.transform(array)


def test_an_unreadable_file_is_named(digits, tmp_path):
    path = tmp_path / "x.png"
    path.write_text("nothing")
    with pytest.raises(UserError, match=str(path)):
        digits.transform(path)


def test_without_augmentation_training_sees_what_inference_sees(digits):
    images = digits.train.images_NCHW[:8]
    seen = Augment(NONE, digits)(images, generator_for(0))
    assert torch.equal(seen, digits.transform.normalise(images))


def test_augmentation_is_a_function_of_the_generator(digits):
    images = digits.train.images_NCHW[:32]
    augment = Augment(AugmentationConfig(), digits)
    first = augment(images, generator_for(0, 1, 2))
    assert torch.equal(first, augment(images, generator_for(0, 1, 2)))
    assert not torch.equal(first, augment(images, generator_for(0, 1, 3)))
    assert first.shape == images.shape
    assert first.isfinite().all()


def test_every_setting_advances_the_generator_alike(digits):
    images = digits.train.images_NCHW[:4]
    states = []
    for config in (NONE, AugmentationConfig()):
        generator = generator_for(7)
        Augment(config, digits)(images, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_the_input_is_left_as_it_was(digits):
    images = digits.train.images_NCHW[:4]
    before = images.clone()
    Augment(AugmentationConfig(), digits)(images, generator_for(0))
    assert torch.equal(images, before)


def test_images_are_flipped_only_where_the_data_allows_it(digits, mirrored):
    images = mirrored.train.images_NCHW
    plain = mirrored.transform.normalise(images)
    seen = Augment(NONE, mirrored)(images.repeat(8, 1, 1, 1), generator_for(0))
    kept = (seen - plain.repeat(8, 1, 1, 1)).abs().amax(dim=(1, 2, 3)) < 1e-4
    flipped = (seen - plain.flip(3).repeat(8, 1, 1, 1)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert (kept ^ flipped).all()
    assert 0.25 < flipped.float().mean() < 0.75
    assert not digits.mirror


def test_a_shift_moves_by_no_more_than_its_share(digits):
    config = AugmentationConfig(
        rotate_deg=0, scale=0, shift=0.25, erase_probability=0, erase_area=0
    )
    images = torch.zeros(200, 1, 16, 16, dtype=torch.uint8)
    images[:, :, 7:9, 7:9] = 255
    seen = Augment(config, digits)(images, generator_for(0))
    bright = seen > seen.min()
    rows = bright.any(dim=3).squeeze(1).nonzero()[:, 1]
    assert rows.min() >= 7 - 5
    assert rows.max() <= 8 + 5
    assert rows.unique().numel() >= 8


def test_a_full_turn_and_a_half_turn_are_rotations(digits):
    config = AugmentationConfig(rotate_deg=180, scale=0, shift=0, erase_probability=0, erase_area=0)
    images = torch.zeros(64, 1, 17, 17, dtype=torch.uint8)
    images[:, :, 8, 8] = 255  # the centre stays where it is
    seen = Augment(config, digits)(images, generator_for(0))
    assert (seen.flatten(1).argmax(dim=1) == 8 * 17 + 8).all()


def test_erasing_covers_a_rectangle_with_the_mean(digits):
    config = AugmentationConfig(
        rotate_deg=0, scale=0, shift=0, erase_probability=1.0, erase_area=0.5
    )
    images = torch.full((256, 1, 16, 16), 255, dtype=torch.uint8)
    erased = Augment(config, digits)(images, generator_for(0)).abs() < 1e-6
    share = erased.float().mean(dim=(1, 2, 3))
    assert share.max() <= 0.6
    assert 0.15 < share.mean() < 0.35  # uniform area from 0 to 0.5
    rows, columns = erased.any(dim=3).sum(dim=(1, 2)), erased.any(dim=2).sum(dim=(1, 2))
    assert torch.equal(rows * columns, erased.sum(dim=(1, 2, 3)))


def test_erasing_leaves_the_stated_share_of_images_alone(digits):
    config = AugmentationConfig(
        rotate_deg=0, scale=0, shift=0, erase_probability=0.3, erase_area=0.9
    )
    images = torch.full((1000, 1, 8, 8), 255, dtype=torch.uint8)
    erased = (Augment(config, digits)(images, generator_for(0)).abs() < 1e-6).any(dim=(1, 2, 3))
    assert 0.2 < erased.float().mean() < 0.35


def test_batches_visit_each_image_at_most_once_and_are_full():
    batches = list(shuffled_batches(103, 20, generator_for(3)))
    assert [len(batch) for batch in batches] == [20] * 5
    assert torch.cat(batches).unique().numel() == 100
    again = list(shuffled_batches(103, 20, generator_for(3)))
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))


def test_fewer_images_than_a_batch_are_one_batch():
    assert [len(batch) for batch in shuffled_batches(7, 20, generator_for(3))] == [7]


def test_generators_of_different_places_differ():
    draws = {
        float(torch.rand((), generator=generator_for(seed, *place)))
        for seed in (0, 1)
        for place in ((), (0,), (1,), (0, 0), (0, 1))
    }
    assert len(draws) == 10
