"""Proxies that drop proposals, and proxies that the guided sampler's model knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from nas.config import RunConfig, validate
from nas.evaluation import EvaluationStore
from nas.executors.in_process import InProcess
from nas.hardware.profile import HardwareConfig
from nas.objectives import OBJECTIVES, Objective
from nas.proposing.history import History
from nas.proposing.prefilter import Prefiltered, asked_for
from nas.proposing.question import Question
from nas.proposing.ranking import fronts
from nas.samplers import SAMPLERS, build_sampler, read_options
from nas.study import Budget, Prefilter, StudySpec, read_study, run_study
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import ToyFactory, ToyProblem
from tests.nas_tests.test_samplers import OPTIONS

TOY = ToyProblem()
METRICS = (OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"])


def width_score(names: Sequence[str], genes_BG: IntArray) -> dict[str, Any]:
    """Stands for any proxy: a network's width, so that it is plain who is liked."""
    widths = [float(TOY.space.decode(row).stages[0].width) for row in genes_BG]
    return {name: np.array(widths) for name in names}


def proposed(
    sampler: str,
    count: int,
    prefilter: Prefilter | None = None,
    metrics: tuple[Objective, ...] = METRICS[:1],
) -> list[dict[str, Any]]:
    size = count if prefilter is None else asked_for(count, prefilter.keep)
    question = Question(
        space=TOY.space,
        columns=TOY.columns,
        objectives=metrics,
        limits=(),
        box=None,
        batch_size=size,
        scores=width_score,
    )
    history, study = (
        History(question),
        optuna.create_study(directions=["maximize", "minimize"][: len(metrics)]),
    )
    study.sampler = build_sampler(sampler, OPTIONS.get(sampler, {}), 3, history)
    if prefilter is not None:
        study.sampler = Prefiltered(study.sampler, history, prefilter.proxy, count)
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        TOY.suggest(trial)
    return [trial.params for trial in trials]


def study(folder: Path, prefilter: Prefilter | None, sampler: str, **options: object) -> list[Any]:
    """What a study finds, run to its end or on from what lies in the folder."""
    spec = StudySpec(
        objectives=METRICS,
        sampler=sampler,
        sampler_options={**OPTIONS.get(sampler, {}), **options},
        seed=3,
        batch_size=6,
        prefilter=prefilter,
    )
    run_study(
        TOY,
        spec,
        executor=lambda: InProcess(ToyFactory()),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.log",
        budget=Budget(trials=20),
        scores=width_score,
    )
    return [(t.digest, t.values) for t in read_study(folder / "study.log").trials]


@pytest.mark.parametrize("sampler", ["random", "tpe", "autoformer"])
@pytest.mark.parametrize(("proxy", "liked"), [("synflow", max), ("ntk_condition", min)])
def test_what_the_proxy_likes_best_is_kept_in_order(sampler: str, proxy: str, liked: Any) -> None:
    everyone = proposed(sampler, 12)
    kept = proposed(sampler, 4, Prefilter(proxy, 1 / 3))
    assert kept == [params for params in everyone if params in kept], "of the same proposals"
    widths = [params["stage0.width"] for params in everyone]
    best = sorted(widths, reverse=liked is max)[:4]
    assert sorted((p["stage0.width"] for p in kept), reverse=liked is max) == best


def test_a_free_metric_is_not_looked_at() -> None:
    everyone, kept = proposed("autoformer", 8), proposed("autoformer", 4, Prefilter("params"))
    rows = np.array([_bare().row(params) for params in everyone])
    order = np.argsort(-TOY.columns(TOY.space.repair(rows)[0])["params"], kind="stable")[:4]
    assert kept == [everyone[index] for index in sorted(order)]


def test_with_free_objectives_only_the_dominated_are_dropped() -> None:
    everyone = proposed("autoformer", 12, metrics=METRICS)
    kept = proposed("autoformer", 6, Prefilter("synflow"), METRICS)
    rows = np.array([_bare().row(params) for params in everyone])
    rows = TOY.space.repair(rows)[0]
    costs = np.stack([TOY.columns(rows)["latency_ms"], -width_score(["w"], rows)["w"]], axis=1)
    rank = fronts(costs, np.zeros(len(costs)))
    stays = np.array([params in kept for params in everyone])
    assert rank[stays].max() <= rank[~stays].min()
    assert len({params["stage0.width"] for params in kept}) > 1, "narrow ones are cheap"


def test_keeping_all_changes_nothing() -> None:
    assert proposed("autoformer", 6, Prefilter("synflow", 1.0)) == proposed("autoformer", 6)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "guided", "qmc"])
def test_a_filtered_study_goes_on_identically(sampler: str, tmp_path: Path) -> None:
    _goes_on(tmp_path, lambda folder: study(folder, Prefilter("synflow"), sampler))


def test_a_study_with_proxies_as_features_goes_on_identically(tmp_path: Path) -> None:
    _goes_on(tmp_path, lambda folder: study(folder, None, "guided", features=["asvit_rank"]))


def _goes_on(tmp_path: Path, run: Any) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    wanted = run(whole)
    assert len({digest for digest, _ in wanted}) >= 10
    lines = (whole / "study.log").read_bytes().splitlines(keepends=True)
    (part / "study.log").write_bytes(b"".join(lines[: int(0.7 * len(lines))]))
    assert run(part) == wanted


def test_a_prefilter_is_part_of_what_makes_a_study(tmp_path: Path) -> None:
    assert "prefilter" not in StudySpec(objectives=METRICS).identity()
    study(tmp_path, Prefilter("synflow"), "random")
    with pytest.raises(UserError, match="prefilter"):
        study(tmp_path, Prefilter("synflow", 0.25), "random")


def test_features_change_what_is_proposed(tmp_path: Path) -> None:
    for name in ("plain", "with"):
        (tmp_path / name).mkdir()
    plain = study(tmp_path / "plain", None, "guided")
    assert study(tmp_path / "with", None, "guided", features=["synflow"]) != plain


def _bare(**changes: Any) -> Question:
    fields: Mapping[str, Any] = {
        "space": TOY.space,
        "columns": TOY.columns,
        "objectives": METRICS,
        "limits": (),
        "box": None,
        "batch_size": 5,
    }
    return Question(**{**fields, **changes})


def test_scores_without_images_are_refused() -> None:
    rows = TOY.space.sample_genes(np.random.default_rng(0), 3)
    assert set(_bare().scored(["params"], rows)) == {"params"}
    with pytest.raises(UserError, match="'synflow': there are no images"):
        _bare().scored(["params", "synflow"], rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxy": "parms"}, r"search.prefilter.proxy.*did you mean 'params'"),
        ({"proxy": "params", "keep": 0.0}, r"search.prefilter.keep=0.0.*above 0, to 1"),
        ({"proxy": "params", "keep": 1.5}, r"search.prefilter.keep=1.5.*above 0, to 1"),
    ],
)
def test_a_bad_prefilter_gets_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Prefilter(**changes)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["naswott"], "sampler.options.features.*did you mean 'naswot'"),
        ("naswot", "allowed is a list of names"),
        ([1], "allowed is a list of names"),
    ],
)
def test_bad_features_get_one_line(features: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_options(SAMPLERS["guided"].options, {"features": features})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxy": "naswott"}, r"search.prefilter.proxy.*did you mean 'naswot'"),
        ({"proxy": "naswot", "keep": 0.0}, r"search.prefilter.keep=0.0.*above 0, to 1"),
    ],
)
def test_a_bad_prefilter_is_refused_before_anything_is_measured(
    changes: dict[str, Any], message: str
) -> None:
    config = RunConfig(space={"patch_size": [4]}, hardware={"cpu": HardwareConfig()})
    assert validate(config).search.prefilter.proxy is None
    for key, value in changes.items():
        setattr(config.search.prefilter, key, value)
    with pytest.raises(UserError, match=message):
        validate(config)
