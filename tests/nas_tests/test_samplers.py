"""The contract of every registered sampler."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import optuna
import pytest
from optuna.trial import TrialState

from nas.objectives import OBJECTIVES, Limit
from nas.proposing.history import History
from nas.proposing.question import Question
from nas.samplers import SAMPLERS, build_sampler, read_options
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import SPACE, ToyProblem, accuracy_of, free_metrics

TOY = ToyProblem()
OBJECTIVE_SETS = (("accuracy",), ("accuracy", "latency_ms"), ("accuracy", "latency_ms", "params"))
OPTIONS: dict[str, dict[str, object]] = {
    "nsga2": {"population_size": 8},
    "nsga3": {"population_size": 8},
    "tpe": {"n_startup_trials": 5},
    "guided": {"n_startup": 5, "population": 20, "generations": 2},
    "gp": {"n_startup_trials": 24},
    "autoformer": {"population_size": 8, "parents": 3, "mutations": 4, "crossovers": 4},
    "regularised": {"population_size": 8, "sample_size": 3},
    "turbovit": {"startup": 5},
    "growing": {"seeds": 2},
}
NAMES = [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n for n in SAMPLERS.names()]
"""A Gaussian process takes a second per proposal."""
LAYER = {"heads": [1], "mlp_ratio": [2], "attention": ["softmax"], "width": [16], "depth": [1]}
THREE = {**SPACE, "stages": [{**LAYER, "width": [16, 32, 48]}]}
MEMORYLESS = {"random", "tpe"}
"""These may propose what the study knows."""


def proposals(
    name: str,
    seed: int = 1,
    *,
    objectives: Sequence[str] = ("accuracy", "latency_ms"),
    problem: ToyProblem = TOY,
    limit: float | None = None,
    trials: int = 40,
) -> list[str]:
    """Digests that a sampler proposes, in batches of five, some of which fail."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    metrics = tuple(OBJECTIVES[objective] for objective in objectives)
    bound = () if limit is None else (Limit(OBJECTIVES["latency_ms"], limit),)
    question = Question(
        space=problem.space,
        columns=problem.columns,
        objectives=metrics,
        limits=bound,
        box=None,
        batch_size=5,
    )
    history = History(question)
    study = optuna.create_study(
        directions=["maximize" if m.direction == "max" else "minimize" for m in metrics]
    )
    made: list[str] = []
    for first in range(0, trials, 5):
        history.refresh(study)
        study.sampler = build_sampler(name, OPTIONS.get(name, {}), seed + first, history)
        asked = [(trial, problem.suggest(trial)) for trial in (study.ask() for _ in range(5))]
        for number, (trial, suggestion) in enumerate(asked, start=first):
            candidate = suggestion.architecture
            made.append(candidate.digest())
            if number % 7 == 3:
                study.tell(trial, state=TrialState.FAIL)
                continue
            known = {"accuracy": accuracy_of(candidate), **free_metrics(candidate)}
            for rule in bound:
                trial.set_constraint("latency_ms", rule.violation(known["latency_ms"]))
            study.tell(trial, [known[m.name] for m in metrics])
    return made


@pytest.mark.parametrize(
    "objectives",
    [s if len(s) == 2 else pytest.param(s, marks=pytest.mark.slow) for s in OBJECTIVE_SETS],
    ids=len,
)
@pytest.mark.parametrize("name", NAMES)
def test_contract_of_a_sampler(name: str, objectives: Sequence[str]) -> None:
    first = proposals(name, objectives=objectives)
    assert first == proposals(name, objectives=objectives), "the seed decides"
    assert first != proposals(name, 2, objectives=objectives)
    assert SAMPLERS[name].summary
    assert SAMPLERS[name].label
    if name not in MEMORYLESS:
        assert len(set(first)) == len(first), "nothing is proposed twice"


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(1.0, id="some meet it", marks=pytest.mark.slow),
        pytest.param(1e-6, id="nobody meets it"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_lives_with_limits(name: str, limit: float) -> None:
    assert len(proposals(name, limit=limit)) == 40


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_a_sampler_goes_on_where_everything_is_known(name: str) -> None:
    found = proposals(name, problem=ToyProblem(declared=THREE), trials=20)
    assert len(found) == 20
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nsga22", {}, "did you mean 'nsga2'"),
        ("nsga2", {"populaton_size": 5}, "did you mean 'population_size'"),
        ("nsga2", {"population_size": 1}, "2 or more"),
        ("nsga2", {"population_size": "many"}, "allowed is int"),
        ("nsga2", {"mutation_prob": 1.5}, "0 to 1"),
        ("tpe", {"n_startup_trials": 0}, "1 or more"),
        ("random", {"seed": 1}, "is unknown"),
        ("gp", {"n_startup_trials": 0}, "1 or more"),
        ("autoformer", {"parents": 1}, "2 or more"),
        ("autoformer", {"mutations": 40}, "at most population_size=50 with the crossovers"),
        ("autoformer", {"layer_prob": 0.0}, "above 0, to 1"),
        ("regularised", {"population_size": 10}, "1 to population_size=10"),
        ("slimming", {"width": 0}, "1 or more, or null"),
        ("slimming", {"saves": "accuracy"}, "a metric that is free and minimised"),
        ("slimming", {"saves": "latency"}, "did you mean 'latency_ms'"),
        ("contraction", {"beyond": 0}, "1 or more"),
        ("growing", {"seeds": 0}, "1 or more"),
        ("turbovit", {"explore": 2.0}, "above 0, to 1"),
    ],
)
def test_bad_options_get_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_options(SAMPLERS[name].options, options)


def test_null_and_whole_numbers_are_fine_where_a_real_number_is_asked() -> None:
    schema = SAMPLERS["nsga2"].options
    assert read_options(schema, {"mutation_prob": None}).mutation_prob is None
    assert read_options(schema, {"mutation_prob": 1}).mutation_prob == 1


def test_listing_samplers_executors_and_objectives_imports_nothing_heavy() -> None:
    code = (
        "import sys; from nas.samplers import SAMPLERS; from nas.executors import EXECUTORS;"
        "from nas.objectives import OBJECTIVES; import nas.study, nas.study.reading;"
        "[r.names() for r in (SAMPLERS, EXECUTORS, OBJECTIVES)];"
        "heavy = {'ray', 'optuna', 'torch', 'moocore', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
