"""Evaluators from shared memory: no file is read, nothing is copied, nothing else is accepted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.evaluator import SupernetEvaluatorFactory
from nas.executors import ExecutorOptions, evaluate_safely
from nas.run_folder import RunFolder
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.model import Supernet
from supernet.operators import all_cards
from supernet.training.checkpoint import Checkpoint, save_checkpoint, save_tensors, weights_hash
from tests.nas_tests.study_toy import SPACE

CLASSES = 3


def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(SearchSpace(SPACE, all_cards()), CLASSES)


@pytest.fixture
def factory(tmp_path: Path) -> SupernetEvaluatorFactory:
    folder = RunFolder(tmp_path / "run")
    weights = supernet().state_dict()
    images = {"images": torch.randn(12, 1, 16, 16), "labels": torch.arange(12) % CLASSES}
    named = {f"average.{name}": tensor for name, tensor in weights.items()}
    save_checkpoint(folder.supernet, Checkpoint(named, {}))
    save_tensors(folder.val_images, images)
    return SupernetEvaluatorFactory(
        folder=str(folder.path),
        space=json.dumps(SPACE),
        num_classes=CLASSES,
        weights=weights_hash(weights),
        images=weights_hash(images),
    )


def test_evaluators_need_no_file_and_write_nothing(factory: SupernetEvaluatorFactory) -> None:
    shared = factory.shared()
    shutil.rmtree(factory.folder)
    for array in shared.values():
        array.flags.writeable = False
    evaluator = factory.build(shared)
    rows = evaluator.supernet.space.sample_genes(np.random.default_rng(0), 20)
    for row in rows:
        candidate = evaluator.supernet.space.decode(row)
        values, _, error, _ = evaluate_safely(evaluator, candidate)
        assert error is None
        with torch.inference_mode():
            logits = supernet().eval()(evaluator.images_NCHW, candidate)
        assert values["accuracy"] == float((logits.argmax(1) == evaluator.labels_N).double().mean())


def test_other_weights_or_images_are_refused(factory: SupernetEvaluatorFactory) -> None:
    shared = dict(factory.shared())
    with pytest.raises(UserError, match="not the weights this study began with"):
        replace(factory, weights="0" * 16).build(shared)
    changed = shared["val.labels"].copy()
    changed[0] += 1
    with pytest.raises(UserError, match=r"val_images\.safetensors: not the images of this study"):
        factory.build({**shared, "val.labels": changed})


@pytest.fixture
def ray_folder(tmp_path: Path) -> Iterator[Path]:
    from nas.executors.ray_session import start

    session = start(ExecutorOptions(workers=2), tmp_path)
    yield tmp_path
    session.close()


@pytest.mark.ray
def test_two_workers_of_one_machine_read_the_same_memory(
    factory: SupernetEvaluatorFactory, ray_folder: Path
) -> None:
    import ray

    from tests.nas_tests import memory_probe

    ray.cloudpickle.register_pickle_by_value(memory_probe)
    shared = ray.put(dict(factory.shared()))
    actors = [ray.remote(memory_probe.Probe).remote(1) for _ in range(2)]
    ray.get([actor.start.remote(factory, [shared]) for actor in actors])
    one, other = ray.get([actor.places.remote() for actor in actors])
    large = {k for k, v in supernet().state_dict().items() if v.nbytes >= memory_probe.LARGE}
    assert one.keys() == large | {"images"}
    assert len(large) > 10
    assert one == other, "one file, one place in it"
    assert {permissions[-1] for permissions, *_ in one.values()} == {"s"}
