"""The contract of every registered sampler."""

from __future__ import annotations

import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState

from nas.samplers import SAMPLERS, build_sampler, read_options
from search_spaces.errors import UserError

CHOICES = {"a": [1, 2, 3, 4], "b": ["x", "y", "z"], "c": [0.5, 1.5], "single": [7]}


def proposals(name: str, seed: int) -> list[dict[str, object]]:
    options = {"population_size": 8} if name == "nsga2" else {}
    return proposals_of(build_sampler(name, options, seed))


def proposals_of(
    sampler: optuna.samplers.BaseSampler, trials: int = 40, batch: int = 1
) -> list[dict[str, object]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    made: list[dict[str, object]] = []
    for first in range(0, trials, batch):
        asked = [study.ask() for _ in range(batch)]
        for trial in asked:
            made.append({g: trial.suggest_categorical(g, CHOICES[g]) for g in CHOICES})
        for number, trial in enumerate(asked, start=first):
            if number % 7 == 3:
                study.tell(trial, state=TrialState.FAIL)
                continue
            a, c = trial.params["a"], trial.params["c"]
            trial.set_constraint("limit", a - 3)
            study.tell(trial, [a * c, a + number % 2])
    return made


@pytest.mark.parametrize("batch", [1, 5, 20])
def test_nsga2_proposes_exactly_what_optunas_own_does(batch: int) -> None:
    ours = build_sampler("nsga2", {"population_size": 8}, 5)
    optunas = optuna.samplers.NSGAIISampler(population_size=8, seed=5)
    found = proposals_of(ours, trials=100, batch=batch)
    assert found == proposals_of(optunas, trials=100, batch=batch)


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_contract_of_a_sampler(name: str) -> None:
    first = proposals(name, seed=1)
    assert first == proposals(name, seed=1), "the seed decides"
    assert first != proposals(name, seed=2)
    assert all(params[gene] in CHOICES[gene] for params in first for gene in CHOICES)
    assert SAMPLERS[name].summary
    assert SAMPLERS[name].label


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_the_flat_space_is_what_optuna_finds_by_intersection(name: str) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(30):
        trial = study.ask()
        for gene in reversed(CHOICES):
            trial.suggest_categorical(gene, CHOICES[gene])
        study.tell(trial, [number, -number])
    sampler = build_sampler(name, {}, 0)
    kind = optuna.samplers.TPESampler if name == "tpe" else optuna.samplers.NSGAIISampler
    optunas = kind(multivariate=True) if name == "tpe" else kind()
    frozen = study.trials[0]
    ours = sampler.infer_relative_search_space(study, frozen)
    assert list(ours.items()) == list(optunas.infer_relative_search_space(study, frozen).items())
    assert "single" not in ours


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nsga3", {}, "did you mean 'nsga2'"),
        ("nsga2", {"populaton_size": 5}, "did you mean 'population_size'"),
        ("nsga2", {"population_size": 1}, "2 or more"),
        ("nsga2", {"population_size": "many"}, "allowed is int"),
        ("nsga2", {"mutation_prob": 1.5}, "0 to 1"),
        ("tpe", {"n_startup_trials": 0}, "1 or more"),
        ("random", {"seed": 1}, "is unknown"),
    ],
)
def test_bad_options_get_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_sampler(name, options, 0)


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
