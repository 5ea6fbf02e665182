"""Margins: what an evaluation tells beside its accuracy, where it is kept, what it teaches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.evaluation import EvaluationStore
from nas.evaluator import SupernetEvaluator, split_images
from nas.executors.in_process import InProcess
from nas.margins import IMAGES, LARGEST, NAME, STEPS, decoded, encoded
from nas.objectives import OBJECTIVES
from nas.proposing.answers import AnswerSurrogate
from nas.proposing.history import ENOUGH, History
from nas.proposing.models import model_of
from nas.proposing.question import Question
from nas.study import Budget, StudySpec, read_study, run_study
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.model import Supernet
from supernet.operators import all_cards
from tests.nas_tests.study_toy import SPACE, ToyEvaluator, ToyFactory, ToyProblem

TOY = ToyProblem()
PICTURES = 24


def margins_of(candidate: Architecture) -> np.ndarray:
    """Each image asks for something else: width, heads, or layers that mix."""
    blocks = [block for _, block in candidate.blocks()]
    has = np.array(
        [
            candidate.stages[0].width / 32,
            sum(block.inner for block in blocks) / 32,
            sum(block.attention.op == "softmax" for block in blocks),
        ]
    )
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, (PICTURES, 3)) @ has - rng.uniform(0.5, 3, PICTURES)


class TellingEvaluator(ToyEvaluator):
    def evaluate(self, candidate: Architecture) -> dict[str, float | str]:  # type: ignore[override]
        margins = margins_of(candidate)
        return {"accuracy": float((margins > 0).mean()), NAME: encoded(margins)}


class TellingFactory(ToyFactory):
    def build(self, shared: object) -> ToyEvaluator:  # type: ignore[override]
        return TellingEvaluator(self)


def test_margins_come_back_from_their_text() -> None:
    margins = np.array([-9.0, -0.3, 0.0, 0.02, 2.5, 40.0])
    back = decoded(encoded(margins))
    assert back is not None
    np.testing.assert_allclose(back, np.clip(margins, -LARGEST, LARGEST), atol=LARGEST / STEPS)
    assert decoded(None) is None
    assert decoded("no margins") is None


@pytest.mark.parametrize("first_look", [0, 700])
def test_an_evaluator_tells_the_margins_of_the_same_images_whole_or_in_parts(
    first_look: int,
) -> None:
    torch.manual_seed(0)
    supernet = Supernet(SearchSpace(SPACE, all_cards()), 3).eval()
    images, labels = torch.randn(1400, 1, 16, 16), torch.arange(1400) % 3
    evaluator = SupernetEvaluator(supernet, images, labels, first_look)
    candidate = TOY.space.decode(TOY.space.sample_genes(np.random.default_rng(0), 1)[0])
    found = evaluator.evaluate(candidate)
    with torch.inference_mode():
        logits = supernet(images, candidate).double().numpy()
    right = logits[np.arange(1400), labels]
    logits[np.arange(1400), labels] = -np.inf
    told = split_images(1400, IMAGES)[0]
    back = decoded(found[NAME])
    assert back is not None
    np.testing.assert_allclose(back, (right - logits.max(axis=1))[told], atol=LARGEST / STEPS)
    if first_look:
        assert evaluator.evaluate_part(candidate, "first")[NAME] == found[NAME]
        assert NAME not in evaluator.evaluate_part(candidate, "rest")


def study(folder: Path, trials: int) -> list[tuple[object, ...]]:
    spec = StudySpec(
        objectives=(OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]),
        limits=(),
        sampler="guided",
        sampler_options={"n_startup": 6, "generations": 1},
        seed=3,
        batch_size=6,
    )
    run_study(
        ToyProblem(),
        spec,
        executor=lambda: InProcess(TellingFactory()),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.log",
        budget=Budget(trials=trials),
    )
    return [(t.digest, t.values) for t in read_study(folder / "study.log").trials]


@pytest.mark.parametrize("paid_for", [True, False])
def test_a_study_that_was_cut_reads_margins_from_its_journal_and_the_store(
    paid_for: bool, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    wanted = study(whole, 66)
    lines = (whole / "study.log").read_bytes().splitlines(keepends=True)
    assert sum(b'"margins"' in line for line in lines) == 66
    (cut / "study.log").write_bytes(b"".join(lines[: int(0.87 * len(lines))]))
    if paid_for:  # the store answers for what was not told yet
        (cut / "evaluations.jsonl").write_bytes((whole / "evaluations.jsonl").read_bytes())
    assert study(cut, 66) == wanted


def history(count: int, told: bool = True) -> History:
    asked = Question(
        space=TOY.space,
        columns=TOY.columns,
        objectives=(OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]),
        limits=(),
        box=None,
        batch_size=4,
    )
    rows = np.unique(TOY.space.sample_genes(np.random.default_rng(0), 3 * count), axis=0)
    rows = rows[np.random.default_rng(1).permutation(len(rows))[:count]]
    margins = [margins_of(TOY.space.decode(row)) for row in rows]
    made = History(asked)
    made.genes_NG = rows
    accuracy = np.array([(m > 0).mean() for m in margins])
    made.costs_NM = np.stack([-accuracy, TOY.columns(rows)["latency_ms"]], axis=1)
    made.violation_N, made.paid_N = np.zeros(count), np.ones(count, dtype=bool)
    made.numbers = list(range(count))
    made.margins = dict(enumerate(margins)) if told else {}
    return made


def test_margins_tell_more_of_unseen_networks_than_accuracies_do() -> None:
    """Accuracies go in steps of 1 in 24, margins do not."""
    known = np.arange(50)
    errors = []
    for told in (True, False):
        made = history(90, told)
        unseen = made.genes_NG[50:]
        columns = TOY.columns(made.genes_NG[:50])
        model = model_of(made, known, 0, columns)
        expected = model.costs(unseen, TOY.columns(unseen), np.zeros(1))[:, 0]
        errors.append(float(np.abs(expected - made.costs_NM[50:, 0]).mean()))
    assert errors[0] < 0.8 * errors[1]


def test_spread_grows_away_from_what_is_known_and_costs_grow_with_deviations() -> None:
    made = history(100)
    columns = TOY.columns(made.genes_NG)
    model = model_of(made, np.arange(50), 0, {n: c[:50] for n, c in columns.items()})
    costs = model.costs(made.genes_NG, columns, np.array([-1.0, 0.0, 1.0]))
    assert (np.diff(costs, axis=1) > 0).all()
    spread = costs[:, 2] - costs[:, 0]
    assert spread[50:].mean() > spread[:50].mean()


def test_margins_are_learned_from_where_enough_and_most_trials_have_them() -> None:
    def learned(told: int, count: int) -> bool:
        made = history(count)
        made.margins = {i: made.margins[i] for i in range(told)}
        model = model_of(made, np.arange(count), 0, TOY.columns(made.genes_NG))
        return isinstance(model.surrogate, AnswerSurrogate)

    assert learned(ENOUGH, ENOUGH)
    assert not learned(ENOUGH - 1, ENOUGH - 1)
    assert learned(ENOUGH, 2 * ENOUGH)
    assert not learned(ENOUGH, 2 * ENOUGH + 1)
