"""Profiles as files: used on this machine, on another one, and to adapt to a new device."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nas.cli import main
from nas.front import Front
from nas.measurement.portable import HardwareFile, first_difference
from nas.predictors.fit import fit_predictor
from nas.predictors.predictor import LatencyPredictor
from nas.run_folder import read_json
from tests.nas_tests.test_pipeline import KEY
from tests.nas_tests.test_predictors import NAMES, World, mape, measurements, world
from tests.nas_tests.tiny_run import SPACE, command


@pytest.fixture
def shared(finished):
    return finished / "profiles" / f"{KEY}.hardware.json"


def elsewhere(shared, path, **changes):
    """The same file as another machine would have written it."""
    data = json.loads(shared.read_text())
    data["machine"]["processor"] = "Another Processor 9000"
    path.write_text(json.dumps(data | changes))
    return path


def search(finished, folder, *more):
    return main(
        [
            *("search", f"supernet={finished}", f"out_dir={folder}", "name=there"),
            *("executor=in_process", "search.trials=8", "search.batch_size=8"),
            *("profile.n_torch=0", "profile.accept_poor=true", "progress=false", *more),
        ]
    )


def test_a_profile_says_what_was_measured_where_and_how_well(finished, shared):
    data = read_json(shared)
    assert data["profile"]["runtime"] == "onnxruntime"
    assert {"processor", "versions", "threads", "date"} <= set(data["machine"])
    assert data["measured"]["networks"] == len(data["rows"]) == 10
    assert data["measured"]["relative_iqr"] > 0
    assert data["report"]["held_out"]["n"] == 10
    file = HardwareFile.load(shared)
    assert file.space == read_json(finished / "space.json")["space"]


def test_latencies_of_another_machine_are_predicted_and_say_so(finished, shared, tmp_path, capsys):
    theirs = elsewhere(shared, tmp_path / "theirs.json")
    assert search(finished, tmp_path, f"hardware_file={theirs}") == 0
    front = Front.load(tmp_path / "there" / "front.json")
    predictor = LatencyPredictor.from_dict(
        read_json(tmp_path / "there" / "profiles" / f"{KEY}.predictor.json")
    )
    assert len(predictor.data.latency_ms) == 10
    for member in front.members:
        latency = member.metrics["latency_ms"]
        assert latency.kind == "predicted"
        assert latency.low < latency.value < latency.high
        assert latency.source["machine"]["processor"] == "Another Processor 9000"
    assert not (tmp_path / "there" / "profiles" / f"{KEY}.front.jsonl").exists()
    assert "Another Processor 9000" in capsys.readouterr().out


@pytest.mark.slow
def test_a_file_of_this_machine_spares_measuring_but_not_verifying(finished, shared, tmp_path):
    assert search(finished, tmp_path, f"hardware_file={shared}") == 0
    front = Front.load(tmp_path / "there" / "front.json")
    assert {member.metrics["latency_ms"].kind for member in front.members} == {"measured"}


def test_files_that_do_not_fit_are_refused(finished, shared, tmp_path, capsys):
    def refused(*words):
        assert search(finished, tmp_path, *words) == 2
        assert not (tmp_path / "there").exists()
        return capsys.readouterr().err

    assert "no such file" in refused(f"hardware_file={tmp_path / 'none.json'}").lower()
    other = elsewhere(shared, tmp_path / "other.json", kind="something")
    assert "no hardware file" in refused(f"hardware_file={other}")
    space = read_json(shared)["space"]
    space["stages"][0]["width"] = [8, 24]
    other = elsewhere(shared, tmp_path / "space.json", space=space)
    assert "space.stages[0].width[1] is 24 there and 16 here" in refused(f"hardware_file={other}")
    rows = read_json(shared)["rows"]
    rows[3]["profile"] = "gpu"
    other = elsewhere(shared, tmp_path / "mixed.json", rows=rows)
    assert "holds rows of gpu" in refused(f"hardware_file={other}")
    other = elsewhere(shared, tmp_path / "empty.json", rows=[])
    assert "measured networks=0: allowed is at least 10" in refused(f"hardware_file={other}")
    rows = read_json(shared)["rows"]
    rows[2]["latency_ms"] = -1.0
    other = elsewhere(shared, tmp_path / "negative.json", rows=rows)
    assert "rows[2]: latencies are positive" in refused(f"hardware_file={other}")
    del rows[4]["kind"]
    other = elsewhere(shared, tmp_path / "field.json", rows=rows)
    assert "the field 'kind' is missing" in refused(f"hardware_file={other}")
    assert "samples=3" in refused(f"transfer_from={shared}", "samples=3")
    both = (f"transfer_from={shared}", f"hardware_file={shared}")
    assert "null beside hardware_file" in refused(*both)


@pytest.mark.slow
def test_ten_measurements_adapt_a_profile(shared, tmp_path, capsys):
    words = command(tmp_path / "near", f"transfer_from={shared}", "profile.n_runtime=40")[1:]
    assert SPACE in words
    assert main(["profile", *words]) == 0
    assert "adapted from 10 subnets" in capsys.readouterr().out
    data = read_json(tmp_path / "near" / "profiles" / f"{KEY}.predictor.json")
    assert len(data["latency_ms"]) == 10
    assert LatencyPredictor.from_dict(data).held_out.n == 10


def test_an_adapted_predictor_beats_one_of_ten_measurements_alone():
    there, here = world(120, seed=1, bend=1.0), world(210, seed=2, bend=1.0)
    slower = World(here.features_BF, 2.3 * here.true_ms_B + 0.05)
    base = fit_predictor(measurements(there), there.features_BF, NAMES)
    few = slower.part(slice(0, 10))
    rows = measurements(few)
    adapted = fit_predictor(rows, few.features_BF, NAMES, base=base)
    alone = fit_predictor(rows, few.features_BF, NAMES)
    unseen = slower.part(slice(10, None))
    errors = [mape(each.mean_ms(unseen.features_BF), unseen.true_ms_B) for each in (adapted, alone)]
    assert adapted.data.base is not None
    assert alone.data.base is None
    assert errors[0] < 0.04
    assert errors[0] < 0.6 * errors[1]
    again = LatencyPredictor.from_dict(json.loads(json.dumps(adapted.to_dict())))
    np.testing.assert_allclose(
        again.mean_ms(unseen.features_BF), adapted.mean_ms(unseen.features_BF), rtol=1e-9
    )


def test_the_first_difference_is_named():
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) is None
    assert first_difference({"a": [1, 2]}, {"a": [1]}) == "space.a is [1, 2] there and [1] here"
    assert first_difference({}, {"pad": True}) == "space.pad is None there and True here"
