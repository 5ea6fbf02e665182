"""A run whose networks keep as many tokens as an image needs: what its front says of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import nas
from nas.cli import main
from nas.front import Front
from nas.roofline.columns import DescribedSpaceCosts
from nas.steps.describing_device import setting_on
from search_spaces.space import SearchSpace
from supernet.operators import all_cards
from supernet.ragged import in_batches, token_counts
from tests.nas_tests.tiny_run import BUDGET, lines

pytestmark = pytest.mark.slow

BATCH = 4
SPACE = [
    "space.stages=[{width: [8, 16], depth: [1], heads: [1, 2], mlp_ratio: [1, 2, 3], "
    "attention: [softmax], reduction: [{op: ats, keep: [0.7, 0.5]}]}]",
    "space.position=[table]",
    "space.patch_size=[2]",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("by_image")
    words = ["training.epochs=1", "training.batch_size=128", "progress=false", "hardware=cpu_torch"]
    words += [f"hardware.cpu_torch.batch={BATCH}", f"out_dir={place}", "name=run"]
    assert main(["run", *SPACE, *words, *BUDGET]) == 0
    return place / "run"


@pytest.fixture(scope="module")
def front(folder) -> Front:
    return Front.load(folder / "front.json")


def test_every_member_says_what_images_make_of_it(front):
    for member in front.members:
        most = member.layers[-1].tokens_in
        assert member.value("tokens_mean") <= member.value("tokens_p95") <= most
        assert member.value("macs_mean") <= member.value("macs_p95") <= member.value("macs")
        assert member.metrics["latency_mean_ms"].kind == "predicted"
        assert member.metrics["latency_p95_ms"].kind == "measured"
        assert member.metrics["latency_p95_ms"].predicted is not None


def test_counts_are_those_of_the_validation_images(folder, front):
    model = nas.load_model(folder / "best.json")
    images = load_file(folder / "val_images.safetensors")["images"]
    winner = front.find(front.winner)

    counts_N = token_counts(model, images)
    calls_C = in_batches(counts_N, BATCH)

    assert winner.value("tokens_mean") == pytest.approx(counts_N.mean())
    usual = winner.metrics["latency_ms"].source["tokens"]
    assert abs(usual - calls_C.mean()) == abs(calls_C - calls_C.mean()).min()
    slow = winner.metrics["latency_p95_ms"].source["tokens"]
    assert slow == np.quantile(calls_C, 0.95, method="inverted_cdf")


def test_describing_a_member_says_that_tokens_depend_on_the_image(folder, front, capsys):
    assert main(["describe", str(folder), f"member={front.winner}"]) == 0

    told = capsys.readouterr().out
    assert "latency_p95_ms" in told
    assert "the tokens depend on the image" in told


def test_what_was_measured_says_with_how_many_tokens(folder):
    rows = [
        row
        for path in (folder / "profiles").glob("*.jsonl")
        for row in lines(path)
        if row["kind"] == "measurement"
    ]

    assert all(2 <= row["tokens"] <= 45 for row in rows)


def test_a_second_start_measures_nothing_again(folder, front, capsys):
    words = ["progress=false", f"out_dir={folder.parent}", "name=run", "hardware=cpu_torch"]
    words += [f"hardware.cpu_torch.batch={BATCH}", "training.epochs=1", "training.batch_size=128"]

    assert main(["run", *SPACE, *words, *BUDGET]) == 0

    assert f"{len(front.members)} members were verified before" in capsys.readouterr().out
    assert Front.load(folder / "front.json") == front


def test_a_described_device_is_estimated_image_by_image(front, folder):
    space = SearchSpace(nas.run_folder.read_json(folder / "space.json")["space"], all_cards())
    costs = DescribedSpaceCosts(space, 10, setting_on("raspberry_pi5", BATCH))
    architecture = front.members[0].architecture
    most = front.members[0].layers[-1].tokens_in

    macs_B, features_BF = costs.traced(architecture, np.array([2, most]))

    stated = costs(space.encode(architecture)[None])
    np.testing.assert_allclose(features_BF[1:], stated.features_BF)
    assert (features_BF[0] < features_BF[1]).any()
    assert macs_B[0] < macs_B[1] == stated.macs_B[0]


def test_weights_trained_behind_the_front_are_told_anew(folder):
    assert main(["retrain", str(folder), "progress=false", "retrain.epochs=1"]) == 0

    (written,) = (folder / "retrained").glob("*/best.json")
    best = nas.run_folder.read_json(written)
    assert best["metrics"]["latency_p95_ms"]["kind"] == "predicted"
