"""What each sampler's rule proposes, on histories written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import optuna
import pytest

from nas.objectives import OBJECTIVES, Limit
from nas.objectives.efficiency import efficiency
from nas.proposing.contracting import knee_row
from nas.proposing.descent import least_loss_per_gain, slimmed
from nas.proposing.drawing import enlivened
from nas.proposing.evolution import _draw, ageing_rows, autoformer_rows, crossed
from nas.proposing.generation import generate
from nas.proposing.growth import grow, small_rows
from nas.proposing.history import History
from nas.proposing.moves import contracted, grown, smaller
from nas.proposing.question import Question
from nas.proposing.worth import excess_of, order_of, price_of
from nas.samplers import SAMPLERS, build_sampler
from nas.samplers.autoformer import AutoformerOptions
from nas.samplers.qmc import SEED_KEY
from search_spaces.automaton import IntArray
from tests.nas_tests.study_toy import ToyProblem, accuracy_of
from tests.search_spaces_tests.spaces import SMALL, default_space

TOY = ToyProblem()
SPACE = TOY.space


def question(names: tuple[str, ...] = ("accuracy", "latency_ms"), limit: float | None = None):
    return Question(
        space=SPACE,
        columns=TOY.columns,
        objectives=tuple(OBJECTIVES[name] for name in names),
        limits=() if limit is None else (Limit(OBJECTIVES["latency_ms"], limit),),
        box=None,
        batch_size=8,
    )


def told(rows: IntArray, asked: Question | None = None) -> History:
    """A history in which these rows were evaluated, in this order."""
    history = History(asked or question())
    tell(history, rows)
    return history


def tell(history: History, rows: IntArray) -> None:
    if not len(rows):
        return
    columns = TOY.columns(rows)
    known = {"accuracy": np.array([accuracy_of(SPACE.decode(row)) for row in rows]), **columns}
    objectives = history.question.objectives
    values = np.stack([known[o.name] for o in objectives], axis=1)
    signs = [-1.0 if o.direction == "max" else 1.0 for o in objectives]
    broken = excess_of(history.question, rows)
    history.genes_NG = np.concatenate([history.genes_NG, rows])
    history.costs_NM = np.concatenate([history.costs_NM, values * signs])
    history.violation_N = np.concatenate([history.violation_N, broken])
    history.paid_N = np.concatenate([history.paid_N, broken <= 0])
    history.numbers += range(len(history.numbers), len(history.genes_NG))
    history._seen.update(row.astype(np.int16).tobytes() for row in rows)


def some_rows(count: int, seed: int = 0) -> IntArray:
    drawn = SPACE.sample_genes(np.random.default_rng(seed), 20 * count)
    return np.unique(drawn, axis=0)[np.random.default_rng(seed).permutation(count)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


LARGEST = SPACE.extreme(largest=True)


# -- moves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [smaller, contracted, grown])
@pytest.mark.parametrize("name", [*SMALL, "default"])
def test_moves_are_legal_distinct_and_elsewhere(name, moves):
    space = SMALL[name] if name in SMALL else default_space()
    for row in space.sample_genes(rng(), 8):
        rows = moves(space, row)
        assert np.array_equal(space.repair(rows)[0], rows)
        assert len(np.unique(rows, axis=0)) == len(rows)
        assert not (rows == row).all(axis=1).any()


def test_a_layer_anywhere_can_go():
    space = default_space()
    row = space.extreme(largest=True)
    for layer in range(5):
        row[space.layout.layer_start(0, layer) + 2] = layer % 3
    gone = {
        tuple(block.mlp_hidden // 64 for _, block in space.decode(smaller_row).blocks())
        for smaller_row in smaller(space, row)
        if space.decode(smaller_row).depth == 4
    }
    whole = [layer % 3 + 1 for layer in range(5)]
    assert gone == {tuple(np.delete(whole, layer)) for layer in range(5)}


def test_growing_adds_a_layer_like_the_last_and_width():
    space = default_space()
    row = space.extreme(largest=False)
    found = [space.decode(r) for r in grown(space, row)]
    shapes = {(a.depth, a.stages[0].width) for a in found}
    assert {(1, 32), (1, 48), (2, 16), (2, 32), (2, 48)} <= shapes
    assert all(len({str(block) for _, block in a.blocks()}) == 1 for a in found)


def test_enlivened_rows_are_the_same_architectures():
    rows = default_space().sample_genes(rng(), 20)
    alive = enlivened(default_space(), rows, rng())
    assert (alive != rows).any()
    assert np.array_equal(default_space().repair(alive)[0], rows)


# -- slimming and the efficiency score --------------------------------------------------------


def test_slimming_begins_with_the_largest():
    rows = slimmed(History(question()), 8, rng(), lambda r: -price_of(question(), r), None)
    assert np.array_equal(rows[0], LARGEST)
    smaller_rows = {row.tobytes() for row in smaller(SPACE, LARGEST)}
    assert all(row.tobytes() in smaller_rows for row in rows[1:])


def test_slimming_steps_to_the_least_accuracy_lost_per_millisecond():
    asked = question()
    candidates = smaller(SPACE, LARGEST)
    history = told(np.concatenate([LARGEST[None], candidates]))
    lost = history.costs_NM[1:, 0] - history.costs_NM[0, 0]
    saved = price_of(asked, LARGEST[None])[0] - price_of(asked, candidates)
    cheaper = saved > 0
    best = candidates[cheaper][least_loss_per_gain(0.0, lost[cheaper], saved[cheaper])]

    rows = slimmed(history, 8, rng(), lambda r: -price_of(asked, r), 8)

    expected = {row.tobytes() for row in smaller(SPACE, best)}
    assert sum(row.tobytes() in expected for row in rows) >= 6


def test_what_loses_nothing_and_gains_most_is_taken_first():
    assert least_loss_per_gain(1.0, np.array([1.5, 0.9, 1.0]), np.array([9.0, 1.0, 2.0])) == 2
    assert least_loss_per_gain(1.0, np.array([1.5, 1.2]), np.array([5.0, 1.0])) == 0


def test_slimming_walks_to_the_limit_without_paying():
    asked = question(limit=1.0)
    assert excess_of(asked, LARGEST[None])[0] > 0
    rows = slimmed(History(asked), 8, rng(), lambda r: -price_of(asked, r), None)
    assert (excess_of(asked, rows) <= 0).all()


def test_the_efficiency_score_is_the_published_formula():
    known = {"params": 12e6, "latency_ms": 2.0}
    assert efficiency(known) == pytest.approx(100 * (12 / 3) ** -0.5 * 2.0**-1)
    columns = {name: np.array([value, value]) for name, value in known.items()}
    assert efficiency(columns).tolist() == [efficiency(known)] * 2
    assert OBJECTIVES["efficiency"].derive is efficiency


# -- contraction and growing ------------------------------------------------------------------


def test_contraction_ends_around_the_knee():
    history = told(some_rows(60))
    build = SAMPLERS["contraction"].build(SAMPLERS["contraction"].options(), 0, history)
    for _ in range(12):
        rows = build._rule(history, 8, rng(len(history)))
        tell(history, rows[history.unseen(rows)])
    middle = knee_row(history)
    assert middle is not None
    near = (build._rule(history, 8, rng(1)) != middle).sum(axis=1)
    assert near.min() <= 6


def test_growing_compares_small_seeds_first():
    space = default_space()
    asked = replace(question(), space=space, columns=lambda rows: {"params": np.ones(len(rows))})
    made = grow(History(asked), 8, rng(), 6, None)[:6]
    assert {space.decode(row).depth for row in made} == {1}
    assert {space.decode(row).stages[0].width for row in made} == {16}
    assert len({space.decode(row).stages[0].blocks[0].attention for row in made}) > 1


def test_growing_goes_on_from_the_best_seed():
    history = told(small_rows(History(question()), rng(1), 500))
    best = history.genes_NG[np.argmin(history.costs_NM[:, 0])]
    expected = {row.tobytes() for row in grown(SPACE, best)}
    made = grow(history, 8, rng(), len(history), 4)
    assert sum(row.tobytes() in expected for row in made) >= 4


# -- evolutions -------------------------------------------------------------------------------


def test_autoformer_takes_parents_from_the_best_of_earlier_generations():
    rows = some_rows(50)
    history = told(rows)
    options = AutoformerOptions()
    best = {row.tobytes() for row in rows[order_of(history)[:2]]}
    made = autoformer_rows(history, 8, rng(), options)
    assert len(np.unique(np.concatenate([rows, made]), axis=0)) == 58
    small = AutoformerOptions(
        population_size=50, parents=2, mutations=25, crossovers=25, layer_prob=1e-9, stage_prob=1e-9
    )
    unchanged = _draw(history, (1, "mutation"), rng(), small)(40)
    assert {row.tobytes() for row in unchanged} == best, "nothing changes, so parents come back"


def test_crossovers_have_parents_of_equal_depth():
    rows = some_rows(30)
    depth = [gene.name for gene in SPACE.genes].index("stage0.depth")
    children = crossed(SPACE, rows, 60, rng())
    assert set(children[:, depth]) <= set(rows[:, depth])


def test_ageing_forgets_the_oldest_even_if_they_were_best():
    rows = some_rows(60)
    order = order_of(told(rows))
    history = told(np.concatenate([rows[order[:20]], rows[order[20:]]]))
    newest = history.genes_NG[-8:]
    best = newest[np.argsort(order_of(history, slice(52, None)))]
    made = ageing_rows(history, 6, rng(), 8, 8)
    parent = history.genes_NG[order_of(history, slice(52, None))[0]]
    assert len(best) == 8
    changes = [(SPACE.repair(row[None])[0][0] != parent).sum() for row in made]
    assert np.median(changes) <= 5, "children of the best of the newest"


def test_generation_proposes_only_what_meets_the_limits():
    asked = question(limit=0.8)
    history = told(some_rows(5), asked)
    for _ in range(6):
        rows = generate(history, 8, rng(len(history)), 5, 0.2, 0.15)
        assert (excess_of(asked, rows) <= 0).all()
        tell(history, rows[history.unseen(rows)])


# -- Optuna's ---------------------------------------------------------------------------------


def test_quasi_random_batches_share_one_sequence():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"])
    history = History(question())
    for seed in (5, 6):
        study.sampler = build_sampler("qmc", {}, seed, history)
        for trial in [study.ask() for _ in range(4)]:
            TOY.suggest(trial)
    attrs = study._storage.get_study_system_attrs(study._study_id)
    assert attrs[SEED_KEY] == 5
    counters = [value for key, value in attrs.items() if key.startswith("qmc:")]
    assert counters == [7], "one sequence, eight points"


def test_a_gaussian_process_follows_random_trials():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    history = History(question(("accuracy",)))
    made = []
    for number in range(6):
        history.refresh(study)
        study.sampler = build_sampler("gp", {"n_startup_trials": 4}, number, history)
        trial = study.ask()
        made.append(TOY.suggest(trial))
        study.tell(trial, accuracy_of(made[-1].architecture))
    assert len({suggestion.architecture for suggestion in made}) == 6
    assert not any(suggestion.repairs for suggestion in made)


# -- any question -----------------------------------------------------------------------------

OURS = ["autoformer", "contraction", "efficiency", "growing", "regularised", "slimming", "turbovit"]


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("names", [("latency_ms", "params"), ("peak_memory_mb", "accuracy")])
@pytest.mark.parametrize("name", OURS)
def test_rules_serve_any_objectives_and_batch_size(name, names, count):
    asked = replace(question(names, limit=0.9), batch_size=count)
    history, made = History(asked), []
    for batch in range(14 // count):
        rule = SAMPLERS[name].build(SAMPLERS[name].options(), batch, history)._rule
        rows = rule(history, count, rng(batch))
        assert rows.shape == (count, len(SPACE.genes))
        assert np.array_equal(SPACE.repair(rows)[0], rows)
        tell(history, rows)
        made += [row.tobytes() for row in rows]
    assert len(set(made)) == len(made)
