"""Published architectures by name, at any image size."""

from __future__ import annotations

from search_spaces.architecture import Architecture, Block, OpSetting, Stage

DEIT_WIDTHS = {"deit_tiny": 192, "deit_small": 384, "deit_base": 768}
PRESETS = tuple(DEIT_WIDTHS)
HEAD_DIM, DEPTH, RATIO, PATCH = 64, 12, 4, 16


def preset(name: str, image_size: tuple[int, int] = (224, 224), channels: int = 3) -> Architecture:
    """A published architecture.

    DeiT (Touvron et al. 2021, table 1): 12 layers, heads of 64, MLP ratio 4, patches of 16 px, a
    class token, a table of positions.

    Args:
        name: one of ``PRESETS``.
        image_size: height and width, px; a multiple of 16 each.
        channels: of the images.

    Raises:
        KeyError: there is none of that name.
    """
    width = DEIT_WIDTHS[name]
    block = Block(
        attention=OpSetting("softmax"),
        heads=width // HEAD_DIM,
        head_dim=HEAD_DIM,
        mlp_hidden=RATIO * width,
    )
    return Architecture(
        image_size=image_size,
        channels=channels,
        patch_size=PATCH,
        stages=(Stage(width=width, blocks=(block,) * DEPTH),),
        position=OpSetting("table"),
        special_tokens=1,
        pooling="class",
    )
