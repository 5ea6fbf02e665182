"""Weights a run's supernet starts from: read once, checked before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nas.run_folder import write_json
from supernet.importing.imported import read_weights
from supernet.model import Supernet

if TYPE_CHECKING:
    from nas.run import Run
    from supernet.importing.initialise import Images

IMAGES = 256  # that importance is computed on


def check_initial_weights(run: Run) -> None:
    """Refuse weights that are not there or do not fit, before the run's folder is written.

    Raises:
        UserError: see ``supernet.importing.initialise.initialise``.
    """
    origin = _origin(run)
    if origin is not None:
        from supernet.importing.initialise import check_weights

        check_weights(run.new_supernet(), read_weights(origin))


def start_from(run: Run, supernet: Supernet) -> str | None:
    """Put the weights of ``init`` into a supernet that was not trained yet, and note what was done.

    Returns:
        One line for people; None where the run starts at random or goes on.

    Raises:
        UserError: the weights are gone, or do not fit.
    """
    origin = _origin(run)
    if origin is None:
        return None
    from supernet.importing.initialise import initialise

    ordered = run.config.init_order == "importance"
    record = initialise(supernet, read_weights(origin), _images(run), ordered=ordered)
    write_json(run.folder.init, record)
    return _in_words(record)


def _origin(run: Run) -> str | None:
    """What this run has still to start from."""
    own = run.source is not None and run.source.path == run.folder.path
    return run.config.init if own and not run.folder.supernet.exists() else None


def _images(run: Run) -> Images:
    """Some training images, the same for every run of this seed."""
    import torch

    from supernet.importing.initialise import Images

    train, transform = run.dataset.train, run.dataset.transform
    rng = np.random.default_rng(run.config.seed)
    rows = torch.from_numpy(rng.permutation(len(train))[:IMAGES])
    return Images(
        transform.normalise(train.images_NCHW[rows]),
        train.labels_N[rows],
        (transform.mean, transform.std),
    )


def _in_words(record: dict[str, Any]) -> str:
    left = len(record["random"])
    order = "by importance" if record["order"] == "importance" else "as stored"
    return (
        f"starts from {record['init']}: {record['written']} tensors, units {order}, "
        f"head {record['head']}{f', {left} tensors random' if left else ''}"
    )
