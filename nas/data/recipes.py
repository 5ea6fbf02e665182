"""Augmentation by name: how much a model is protected from learning images by heart.

``none`` to ``strong2`` are the seven steps of AugReg ("How to train your ViT?", Steiner et al.,
arXiv:2106.10270, section 3.4): RandAugment's layers and magnitude, and mixup's alpha. ``deit`` is
DeiT's (Touvron et al., arXiv:2012.12877, table 9).
"""

from __future__ import annotations

from types import MappingProxyType

from nas.config.schema import AugmentationConfig


def _augreg(layers: int, magnitude: int, mixup: float) -> AugmentationConfig:
    return AugmentationConfig(
        rotate_deg=0.0,
        scale=0.0,
        shift=0.0,
        erase_probability=0.0,
        randaugment_layers=layers,
        randaugment_magnitude=magnitude,
        mixup=mixup,
    )


RECIPES = MappingProxyType(
    {
        "affine": AugmentationConfig(),
        "none": _augreg(0, 0, 0.0),
        "light1": _augreg(2, 0, 0.0),
        "light2": _augreg(2, 10, 0.2),
        "medium1": _augreg(2, 15, 0.2),
        "medium2": _augreg(2, 15, 0.5),
        "strong1": _augreg(2, 20, 0.5),
        "strong2": _augreg(2, 20, 0.8),
        "deit": AugmentationConfig(
            rotate_deg=0.0,
            scale=0.0,
            shift=0.0,
            erase_probability=0.25,
            erase_area=0.33,
            randaugment_layers=2,
            randaugment_magnitude=9,
            mixup=0.8,
            cutmix=1.0,
        ),
    }
)
"""What ``training/augmentation=NAME`` and ``retrain.augmentation=NAME`` stand for."""
