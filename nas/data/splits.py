"""Train, validation and test: drawn once, stratified, then frozen.

The supernet trains on train, the search looks at val, test is for the exported model alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.source import ANY, TEST, TRAIN, VAL
from search_spaces.errors import UserError

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Splits:
    """Which image belongs where, as sorted indices into the source.

    Attributes:
        train: indices for the weights.
        val: indices for ranking.
        test: indices for the one last number.
        data_digest: of the images and labels that were split.
    """

    train: Indices
    val: Indices
    test: Indices
    data_digest: str

    def digest(self) -> str:
        """16 hexadecimal digits of SHA-256 over the three index lists and the data's digest."""
        state = hashlib.sha256(self.data_digest.encode())
        for part in (self.train, self.val, self.test):
            state.update(f"|{len(part)}|".encode())
            state.update(part.astype("<i8").tobytes())
        return state.hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the run folder."""
        return {
            "data_digest": self.data_digest,
            "digest": self.digest(),
            "train": self.train.tolist(),
            "val": self.val.tolist(),
            "test": self.test.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Splits:
        """The inverse of ``to_dict``.

        Raises:
            UserError: a field is missing, or the digest does not fit the indices.
        """
        try:
            parts = [np.asarray(data[name], dtype=np.int64) for name in ("train", "val", "test")]
            splits = cls(parts[0], parts[1], parts[2], str(data["data_digest"]))
            stored = data["digest"]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"split file: missing or malformed: {error}") from error
        if stored != splits.digest():
            raise UserError(f"split file: digest={stored!r} does not fit its indices: edited?")
        return splits


def draw_splits(
    labels_N: NDArray[np.int64],
    given_N: NDArray[np.int8],
    class_names: tuple[str, ...],
    *,
    val_share: float,
    test_share: float,
    seed: int,
    data_digest: str,
) -> Splits:
    """Cut the held-out splits that the data does not bring, class by class.

    What the data prescribes stays; a missing val or test is cut out of the rest, each class giving
    its share, at least one image.

    Raises:
        UserError: a class has too few images to appear in every split.
    """
    rng = np.random.default_rng(seed)
    shares = {
        VAL: 0.0 if (given_N == VAL).any() else val_share,
        TEST: 0.0 if (given_N == TEST).any() else test_share,
    }
    where_N = np.where(given_N == ANY, TRAIN, given_N)
    for label, name in enumerate(class_names):
        own = rng.permutation(np.flatnonzero((labels_N == label) & (where_N == TRAIN)))
        counts = {
            split: max(1, round(share * len(own))) for split, share in shares.items() if share
        }
        if len(own) <= sum(counts.values()):
            raise UserError(
                f"class {name!r} has {len(own)} image(s) to train on: allowed is at least "
                f"{len(counts) + 1}, one for each split that is cut from them"
            )
        for split, count in counts.items():
            where_N[own[:count]] = split
            own = own[count:]
    train, val, test = (np.flatnonzero(where_N == split) for split in (TRAIN, VAL, TEST))
    return Splits(train, val, test, data_digest)
