"""What the dashboard computes: closed forms and planted truths."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nas.dashboard.commands import overrides
from nas.dashboard.genes import difference, genes, nearest
from nas.dashboard.importance import explained
from nas.dashboard.panels.status import evaluations_per_minute
from nas.dashboard.panels.tables import as_csv, drawn_rows
from nas.dashboard.view import View
from nas.figures.axes import axis_of
from nas.figures.cloud import SVG_POINTS, TrialColumns, cloud_traces
from nas.figures.hypervolume import Moves, common_box, seeds_figure, volumes
from nas.figures.layer_costs import block_latencies, block_memory, fit_latency
from nas.figures.noise import noise_figure
from nas.figures.usage import usage_figure
from nas.front import Metric
from nas.pareto import Box, hypervolume
from tests.nas_tests.report_toy import architecture, member_of, trace

SMALL = architecture(32, [(0, 2, 1, 0), (4, 1, 2, 0)])
LARGE = architecture(64, [(0, 2, 1, 0), (1, 4, 3, 1), (3, 2, 2, 2)])


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(runs=("a", "b/cpu"), x="params", flags=(), values="predicted", tab="table"),
        View(point="a|0123", pin="b/cpu|#7", gene="stage0.width", zoom="-1,2.5,0,1e3"),
        View(tab="images", model="b/cpu: best.json"),
        View(runs=("a b&c=?",), gene="<script>"),
    ],
)
def test_an_address_brings_back_the_view(view):
    assert View.of_query(view.query(), ["a", "b/cpu", "a b&c=?"]) == view
    assert View.of_data(view.data()) == view


def test_an_address_made_up_by_hand_is_cut_to_what_there_is():
    view = View.of_query(
        "?runs=ghost&x=a;b&values=all&tab=../etc&flags=logx+evil&zoom=1,nan", ["a"]
    )
    assert view == View(flags=("logx",), zoom="1,nan")
    assert view.span is None
    assert View.of_query("?" + "&".join(f"runs={i}" for i in range(500)), ["7"]).runs == ("7",)
    assert View.of_data({"runs": 5, "x": ["y"], "flags": ["evil"], "nobody": 1}) == View(flags=())


def test_volumes_are_those_of_the_front_at_that_moment():
    rng = np.random.default_rng(0)
    values = rng.random((40, 2))
    moves = Moves(name="a", group="g", colour=0, at=range(1, 41), values=values, trials=50)
    box = common_box([moves], ("max", "min"))
    at, found = volumes(moves, ("max", "min"), box)
    expected = [hypervolume(values[:n], ("max", "min"), box) for n in range(1, 41)]
    assert found[:-1] == pytest.approx(expected)
    assert (at[-1], found[-1]) == (50, found[-2])


def test_the_band_is_the_range_and_the_line_the_median_of_seeds():
    box = [[0.0, 1.0], [1.0, 0.0]]
    runs = [
        Moves(
            name=str(seed),
            group="same",
            colour=seed,
            at=[1, 10],
            values=[*box[:1], [height, 0.5]],
            trials=10,
        )
        for seed, height in enumerate((0.2, 0.6, 1.0))
    ]
    figure = seeds_figure(runs, ("max", "min"))
    by_name = {trace.name: trace for trace in figure.data if trace.name}
    scale = Box(ideal=(1.0, 0.5), worst=(0.0, 1.0))
    ends = [hypervolume([[h, 0.5]], ("max", "min"), scale) for h in (0.2, 0.6, 1.0)]
    median = next(trace for name, trace in by_name.items() if name.startswith("median"))
    assert median.y[-1] == pytest.approx(ends[1])
    assert by_name["range of 3 seeds"].y[-1] == pytest.approx(ends[0])
    assert figure.data[0].y[-1] == pytest.approx(ends[2])


def test_a_gene_that_decides_explains_all_and_one_that_does_not_nothing():
    rng = np.random.default_rng(0)
    choice_N = rng.integers(0, 3, 5000)
    assert explained(choice_N, choice_N * 2.0, 3) == pytest.approx(1.0)
    assert explained(choice_N, rng.random(5000), 3) == pytest.approx(0.0, abs=2e-3)
    # Variance 2/3 between three equal groups at 0, 1, 2 and 1 inside them: 2/3 of 5/3.
    share = explained(choice_N, choice_N + rng.normal(0, 1, 5000), 3)
    assert share == pytest.approx(0.4, abs=0.03)
    assert explained(np.zeros(50, dtype=np.int64), rng.random(50), 1) is None


def test_latency_is_split_as_it_was_made():
    rng = np.random.default_rng(0)
    names = ["linear_macs", "conv_macs", "norm_moved", "layers_softmax", "layers_none"]
    features = np.column_stack([rng.integers(1, 9, (60, 3)) * 1e6, rng.integers(0, 5, (60, 2))])
    latency = 0.5 + 2e-7 * features[:, :2].sum(axis=1) + 0.3 * features[:, 3]
    stored = {
        "feature_names": names,
        "features": features.tolist(),
        "latency_ms": latency.tolist(),
    }
    model = fit_latency(stored)
    assert model.base_ms == pytest.approx(0.5, rel=1e-6)
    assert model.per_mac_ms == pytest.approx(2e-7, rel=1e-6)
    assert model.per_layer_ms["softmax"] == pytest.approx(0.3, rel=1e-6)
    assert model.error < 1e-9
    layers = trace(SMALL)
    total = sum(sum(parts.values()) for parts in block_latencies(layers, model))
    assert total == pytest.approx(0.5 + 2e-7 * sum(row.macs for row in layers) + 0.3, rel=1e-6)


@pytest.mark.parametrize("stored", [{}, {"features": "x"}, {"feature_names": [], "features": []}])
def test_a_predictor_that_cannot_be_read_gives_no_model(stored):
    assert fit_latency(stored) is None


def test_memory_of_blocks_adds_up_to_the_weights():
    layers = trace(LARGE)
    weights = sum(row["weights"] for row in block_memory(LARGE, layers, batch=1))
    assert weights == pytest.approx(4e-6 * sum(row.params for row in layers))


def test_genes_differ_where_architectures_do():
    assert difference(SMALL, SMALL) == []
    changed = {name: (here, there) for name, here, there in difference(SMALL, LARGE)}
    assert changed["width"] == ("32", "64")
    assert changed["block 3 attention"] == ("–", "separable")
    assert "block 1 attention" not in changed
    assert set(changed) <= genes(SMALL).keys() | genes(LARGE).keys()


def test_the_nearest_baseline_has_the_fewest_different_genes():
    near = architecture(32, [(0, 2, 1, 0), (0, 2, 2, 0)])
    rows = [
        {"name": "far", "architecture": LARGE.to_dict()},
        {"name": "near", "architecture": near.to_dict()},
        {"name": "damaged", "architecture": {"stages": 3}},
        {"name": "without"},
    ]
    assert nearest(SMALL, rows, [], "") == ("near", near)
    winner = member_of(LARGE, tied=False, dominated=False)
    assert nearest(SMALL, [], [winner], LARGE.digest())[1] == LARGE
    assert nearest(LARGE, [], [winner], LARGE.digest()) is None


def test_evaluations_per_minute():
    assert evaluations_per_minute([]) is None
    assert evaluations_per_minute([0.0, 0.0, 5.0]) is None
    moments = [100.0 + 2 * i for i in range(200)]
    assert evaluations_per_minute(moments) == pytest.approx(30)
    assert evaluations_per_minute(moments, moments[-1] + 118) == pytest.approx(15)


def test_many_trials_are_drawn_by_the_graphics_card_and_carry_their_place():
    rng = np.random.default_rng(0)
    count = SVG_POINTS + 1000
    metrics = {"latency_ms": rng.random(count), "accuracy": rng.random(count)}
    metrics["accuracy"][7] = np.nan
    kind = np.zeros(count, dtype=np.int8)
    kind[:100], kind[100:150] = 3, 1
    x, y = axis_of("latency_ms", log=True), axis_of("accuracy")
    columns = TrialColumns(place=2, metrics=metrics, kind=kind)
    drawn, broken = cloud_traces(columns, "run", x, y, alone=False, tint="#000000")
    assert drawn.type == broken.type == "scattergl"
    assert len(drawn.x) == count - 150
    assert drawn.customdata[0].tolist() == [2, 150]
    assert cloud_traces(columns, "run", axis_of("macs"), y, alone=True, tint="#000000") == []


def test_columns_grow_as_if_made_at_once():
    one = TrialColumns(place=0, metrics={"a": np.ones(2)}, kind=np.zeros(2, dtype=np.int8))
    two = TrialColumns(place=0, metrics={"b": np.zeros(1)}, kind=np.ones(1, dtype=np.int8))
    both = one.joined(two)
    assert both.kind.tolist() == [0, 0, 1]
    np.testing.assert_equal(both.metrics["a"], [1, 1, np.nan])
    np.testing.assert_equal(both.metrics["b"], [np.nan, np.nan, 0])


def test_everything_drawn_is_in_the_table():
    members = [member_of(a, tied=False, dominated=False) for a in (SMALL, LARGE)]
    figure = usage_figure(members)
    rows = drawn_rows(figure, 1000)
    assert len(rows) == sum(len(trace.x) for trace in figure.data)
    head = ("what", "block", "share", "more")
    assert len(as_csv((head, rows)).splitlines()) == len(rows) + 1
    figure.data[0].name = "=HYPERLINK(1)"
    assert "'=HYPERLINK(1)" in as_csv((head, drawn_rows(figure, 1000)))


def test_noise_needs_no_field():
    rows = [{}, {"latency_ms": "x"}, {"latency_ms": 1.0, "slots": [5], "drifts": None}]
    rows += [{"latency_ms": 2.0, "iqr_ms": 0.1, "slots": [{"median_ms": 1.9}, {"median_ms": 2.1}]}]
    rows[-1]["drifts"] = [1.0, 1.0]
    figure = noise_figure(rows)
    assert list(figure.data[0].y) == pytest.approx([0.05])
    assert list(figure.data[1].y) == pytest.approx([0.1])


def test_the_overrides_describe_a_space_with_the_architecture():
    import shlex

    import yaml

    from search_spaces.space import SearchSpace
    from supernet.operators import all_cards

    chosen = SimpleNamespace(
        run=SimpleNamespace(config={"data": {"name": "digits"}}), architecture=LARGE
    )
    line = shlex.split(overrides(chosen))
    assert line[:3] == ["formfinder", "run", "data=digits"]
    # Hydra reads these values as YAML does, but for blanks behind colons.
    given = dict(word.split("=", 1) for word in line[3:])
    stages = yaml.safe_load(given["space.stages"].replace(":", ": "))
    space = {"image_size": [16, 16], "channels": 1, "head_dim": 16, "stages": stages}
    space["patch_size"] = yaml.safe_load(given["space.patch_size"])
    assert SearchSpace(space, all_cards()).why_not(LARGE) is None


def test_every_run_stays_in_sight_and_its_own_outliers_do_not():
    import plotly.graph_objects as go

    from nas.dashboard.panels.trade_off import look_at

    def run(*costs):
        one = member_of(SMALL, tied=False, dominated=False)
        values = [{"latency_ms": Metric(value=cost, kind="measured")} for cost in costs]
        members = [replace(one, metrics=metrics) for metrics in values]
        return SimpleNamespace(front=SimpleNamespace(members=members))

    x, y = axis_of("latency_ms"), axis_of("peak_memory_mb")
    many, few = run(*(10.0 + 0.1 * i for i in range(12)), 90.0), run(40.0)
    for runs, stars, high in (
        ([many], [], 20),
        ([many, few], [], 50),
        ([many], [{"latency_ms": 60}], 70),
    ):
        figure = go.Figure()
        figure.update_xaxes(range=[0, 100])
        look_at(figure, runs, stars, x, y)
        low, end = figure.layout.xaxis.range
        assert low == 0
        assert high - 10 < end < high
