"""RandAugment, mixup and cutmix: against their definitions and torchvision's own table."""

from __future__ import annotations

import pytest
import torch

from nas.config import AugmentationConfig, DataConfig, TrainingConfig
from nas.data.augment import Augment, generator_for
from nas.data.dataset import load_dataset
from nas.data.mixing import Mixer, mixer
from nas.data.randaugment import LEVELS, OPS, RandAugment
from nas.data.recipes import RECIPES
from nas.tasks import TASKS
from supernet.training.loop import no_mix


def images(count=40, channels=3, side=16):
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_randaugment_gives_bytes_of_the_same_shape_from_the_generator_alone(channels):
    given = images(channels=channels)
    before = given.clone()
    augment = RandAugment(2, 15)
    first = augment(given, generator_for(0, 1))
    assert first.dtype == torch.uint8
    assert first.shape == given.shape
    assert torch.equal(given, before)
    assert torch.equal(first, augment(given, generator_for(0, 1)))
    assert not torch.equal(first, augment(given, generator_for(0, 2)))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", list(OPS))
def test_each_operation_is_torchvisions(name, sign):
    """The strengths of ``torchvision.transforms.v2.RandAugment`` at magnitude 15 of 30."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import RandAugment as Theirs

    theirs = Theirs(num_ops=1, magnitude=15, num_magnitude_bins=LEVELS + 1)
    words = "".join(part.capitalize() for part in name.split("_"))
    words = words.replace("Autocontrast", "AutoContrast")
    table, signed = theirs._AUGMENTATION_SPACE[words]
    strengths = table(LEVELS + 1, 16, 16)
    value = 0.0 if strengths is None else float(strengths[15])
    if not signed and sign < 0:
        pytest.skip("has no sign")
    given = images(4)
    wanted = theirs._apply_image_or_video_transform(
        given, words, sign * value, InterpolationMode.NEAREST, {torch.Tensor: None}
    )
    assert torch.equal(RandAugment(1, 15)._apply(name, given, sign), wanted)


def test_shares_of_a_blend_are_those_of_its_pixels():
    black, white = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    batch, labels = torch.cat([black, white]), torch.tensor([0, 2])
    seen = set()
    for seed in range(20):
        for mix in (Mixer(0.5, 0.0, 3), Mixer(0.0, 1.0, 3), Mixer(0.5, 1.0, 3)):
            blended, shares = mix(batch, labels, generator_for(seed))
            assert shares.sum(1).tolist() == pytest.approx([1, 1])
            # White's share of the pixels is the share of white's class, in both.
            assert shares[:, 2].tolist() == pytest.approx(blended.mean((1, 2, 3)).tolist())
            assert shares[:, 1].tolist() == [0, 0]
            seen.add(len(blended[0].unique()))
    assert seen == {1, 2}  # a grey of one tone, or a rectangle


def test_the_loss_of_shares_is_the_blend_of_the_losses():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    own, other = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1, 0, 3, 2, 1, 0])
    task = TASKS["classification"]
    shares = 0.3 * torch.eye(4)[own] + 0.7 * torch.eye(4)[other]
    wanted = 0.3 * task.loss(logits, own, 0.1) + 0.7 * task.loss(logits, other, 0.1)
    torch.testing.assert_close(task.loss(logits, shares, 0.1), wanted)


def test_without_alphas_nothing_is_blended_and_nothing_drawn():
    assert mixer(AugmentationConfig(), 10) is no_mix


def test_the_recipes_are_augregs_grid():
    grid = {
        name: (r.randaugment_layers, r.randaugment_magnitude, r.mixup)
        for name, r in RECIPES.items()
        if name not in ("affine", "deit")
    }
    assert grid == {
        "none": (0, 0, 0.0),
        "light1": (2, 0, 0.0),
        "light2": (2, 10, 0.2),
        "medium1": (2, 15, 0.2),
        "medium2": (2, 15, 0.5),
        "strong1": (2, 20, 0.5),
        "strong2": (2, 20, 0.8),
    }
    assert RECIPES["affine"] == TrainingConfig().augmentation


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_augments_digits(name):
    digits = load_dataset(DataConfig())
    batch, labels = digits.train.images_NCHW[:16], digits.train.labels_N[:16]
    generator = generator_for(0)
    seen = Augment(RECIPES[name], digits)(batch, generator)
    seen, targets = mixer(RECIPES[name], 10)(seen, labels, generator)
    assert seen.shape == batch.shape
    assert seen.dtype == torch.float32
    assert torch.isfinite(seen).all()
    assert len(targets) == 16
