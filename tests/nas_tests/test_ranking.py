"""``formfinder proxies``: tables, files, resumption."""

from __future__ import annotations

import csv
import re

import pytest

from nas.cli import main
from nas.config import load_config
from nas.run import Run
from nas.run_folder import read_json
from nas.steps.proxy_words import about_proxies
from nas.steps.ranking_groups import ALL, draw_groups
from tests.nas_tests.tiny_run import lines
from tests.search_spaces_tests.spaces import default_space, space_of

ASKED = ["proxies.n=10", "proxies.names=[params,naswot,ntk_condition,mean_rank]"]


@pytest.fixture(scope="module")
def ranked(finished, tmp_path_factory):
    """A copy of the tiny run with a ranking."""
    import shutil

    folder = tmp_path_factory.mktemp("ranked") / "tiny"
    shutil.copytree(finished, folder)
    return folder


def test_the_command_prints_and_writes_and_pays_once(ranked, capsys):
    assert main(["proxies", str(ranked), *ASKED]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.replace(str(ranked), "RUN").splitlines())) <= 80
    assert "Kendall's tau within one attention type" in said
    assert "! mean_rank was built for softmax, not for window" in said
    paid = lines(ranked / "evaluations.jsonl")
    assert main(["proxies", str(ranked), *ASKED]) == 0
    assert lines(ranked / "evaluations.jsonl") == paid

    data = read_json(ranked / "proxies.json")
    assert {row["proxy"] for row in data["table"]} == {
        "params", "naswot", "ntk_condition", "mean_rank"
    }  # fmt: skip
    assert set(data["groups"]) == {ALL, "softmax", "window"}
    assert len(data["accuracy"]) == len(data["architectures"]) == len(data["scores"]["naswot"])
    with (ranked / "proxies.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(data["table"])
    taus = [row["tau"] for row in data["table"] if row["tau"] is not None]
    assert all(-1 <= tau <= 1 for tau in taus)


def test_a_search_says_how_well_its_proxies_rank_here(ranked):
    config = load_config(ranked / "config.yaml")
    config.out_dir, config.name = str(ranked.parent), ranked.name
    run = Run(config, write=False)
    run.config.search.objectives = ["naswot", "snip", "latency_ms"]
    known, unknown = about_proxies(run)
    assert re.fullmatch(r"naswot: tau -?\d\.\d\d \[.*\] with inherited accuracy, n=10", known)
    assert unknown.startswith("snip was not compared with accuracy yet")
    run.config.search.objectives = ["accuracy", "latency_ms"]
    assert about_proxies(run) == []
    run.config.search.prefilter.proxy, run.config.sampler.options = "naswot", {"features": ["dss"]}
    said = "\n".join(about_proxies(run))
    assert said.startswith("naswot: tau")
    assert "! dss was built for softmax" in said


def test_bad_input_gets_one_line(finished, refusal):
    assert "the run is missing" in refusal("proxies")
    assert "10 or more" in refusal("proxies", str(finished), "proxies.n=3")
    assert "did you mean 'dss'" in refusal("proxies", str(finished), "proxies.names=[ds]")


def test_groups_hold_distinct_members_of_one_type():
    space = default_space()
    groups = draw_groups(space, 20, 0)
    assert set(groups) == {ALL, "softmax", "window", "hilo", "separable"}
    for group, members in groups.items():
        assert len(set(members)) == 20
        if group != ALL:
            used = {block.attention.op for a in members for _, block in a.blocks()}
            assert used <= {group, "none"}
            assert group in used
    more = draw_groups(space, 30, 0)
    assert all(more[group][:20] == members for group, members in groups.items())


def test_a_space_of_one_type_has_one_group():
    assert list(draw_groups(space_of([{"width": [8, 16, 24]}]), 10, 0)) == [ALL]
