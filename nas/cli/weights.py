"""``formfinder weights``: what others' weights are, and a space file they fit."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from search_spaces.errors import UserError


def weights(args: Sequence[str]) -> None:
    """Print a space that weights fit, as the content of a space file.

    Args:
        args: what followed ``weights``: one source and place, as for ``init``.

    Raises:
        UserError: none or several were named, or they cannot be read.
    """
    if len(args) != 1:
        given = " ".join(args) or "nothing"
        raise UserError(f"weights: {given!r}: allowed is one, e.g. timm:vit_small_patch16_224")
    from supernet.importing.fitting import space_text
    from supernet.importing.imported import read_weights

    sys.stdout.write(space_text(read_weights(args[0].removeprefix("init="))))
