"""Proxies against the same written out by hand, and the contract of every registered one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from nas.cli import main
from nas.evaluation import EvaluationStore
from nas.evaluator import SupernetEvaluatorFactory
from nas.front import Front
from nas.objectives import OBJECTIVES
from nas.proxies import PROXIES, Combination, Score, warning
from nas.proxies.maths.agreement import kendall, spearman
from nas.proxies.maths.columns import WEIGHTS, Sample, proxy_columns, score_of
from nas.proxies.maths.evaluating import ProxyEvaluator, ProxyEvaluatorFactory, with_proxies
from nas.proxies.maths.weights import fresh_model
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from supernet.workload import workload
from tests.contracts.cases import CLASSES, LEGAL
from tests.search_spaces_tests.spaces import SMALL

SCORES = [proxy.name for proxy in PROXIES if isinstance(proxy, Score)]
NO_LABELS = torch.zeros(0, dtype=torch.int64)


def one_of_each() -> dict[str, Architecture]:
    """Every attention type and reduction with each of its settings, at one place."""
    found: dict[str, Architecture] = {}
    for case, place in LEGAL:
        if case.kind in ("attention", "reduction"):
            found.setdefault(str(case), case.architecture(place, width=24, heads=1))
    return found


EACH = one_of_each()


def images_of(architecture: Architecture, count: int = 4) -> torch.Tensor:
    shape = (count, architecture.channels, *architecture.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def score(name: str, model: nn.Module, images: torch.Tensor, labels: torch.Tensor = NO_LABELS):
    return PROXIES[name].score(model, images, labels, 0)


def chain(*matrices: torch.Tensor) -> nn.Sequential:
    """Linear maps without biases, one behind the other."""
    layers: list[nn.Module] = [nn.Flatten()]
    for matrix in matrices:
        layers.append(nn.Linear(matrix.shape[1], matrix.shape[0], bias=False))
        layers[-1].weight = nn.Parameter(matrix)
    return nn.Sequential(*layers)


# -- by hand ----------------------------------------------------------------------------------


def test_synflow_of_a_linear_chain_is_the_product_of_its_absolute_matrices():
    a, b, c = torch.randn(5, 4), torch.randn(3, 5), torch.randn(2, 3)
    total = (c.abs() @ b.abs() @ a.abs()).double().sum().item()
    found = score("synflow", chain(a, b, c), torch.zeros(1, 1, 2, 2))
    assert math.expm1(found) == pytest.approx(3 * total, rel=1e-6), "each layer carries all of it"


def test_synflow_takes_norms_as_their_gain_and_gelu_as_what_it_is_far_above_zero():
    a, b = torch.randn(5, 4), torch.randn(2, 5)
    plain = chain(a, b)
    normed = nn.Sequential(plain[0], plain[1], nn.LayerNorm(5), nn.GELU(), plain[2])
    with torch.no_grad():
        normed[2].weight.fill_(3.0)
    images = torch.zeros(1, 1, 2, 2)
    flows = [math.expm1(score("synflow", net, images)) for net in (normed, plain)]
    assert flows[0] == pytest.approx(3 * flows[1])


def test_log_synflow_of_one_layer():
    a = torch.randn(5, 4)
    found = score("log_synflow", chain(a), torch.zeros(1, 1, 2, 2))
    assert found == pytest.approx(a.abs().sum().item() * math.log(2), rel=1e-6)


def test_overflow_is_the_largest_number():
    deep = chain(*[torch.full((4, 4), 1e30)] * 14)
    found = score("synflow", deep, torch.zeros(1, 1, 2, 2))
    assert found == math.log(torch.finfo(torch.float64).max)
    assert math.isfinite(score("log_synflow", deep, torch.zeros(1, 1, 2, 2)))


def test_snip_and_gradient_norm_of_one_layer():
    weight, images, labels = torch.randn(3, 4), torch.randn(6, 1, 2, 2), torch.tensor([0, 1, 2] * 2)
    x = images.flatten(1).double()
    wrong = (x @ weight.double().T).softmax(dim=1) - nn.functional.one_hot(labels, 3)
    gradient = wrong.T @ x / 6
    found = score("snip", chain(weight), images, labels)
    assert found == pytest.approx((weight.double() * gradient).abs().sum().item())
    norm = score("grad_norm", chain(weight), images, labels)
    assert norm == pytest.approx(gradient.norm().item())


def test_naswot_of_two_images_that_switch_other_units():
    images = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).view(2, 1, 1, 2)
    for unit in (nn.ReLU(), nn.GELU()):
        assert score("naswot", nn.Sequential(nn.Flatten(), unit), images) == pytest.approx(
            2 * math.log(2)
        )
    same = images[:1].expand(2, -1, -1, -1)
    low = score("naswot", nn.Sequential(nn.Flatten(), nn.ReLU()), same)
    assert low == pytest.approx(math.log(4) + math.log(4e-12)), "equal codes are no infinity"


def test_dss_of_one_attention_matrix_and_one_mlp_matrix():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.Linear(4, 5, bias=False)
            self.mlp = nn.Linear(5, 3, bias=False)

        def forward(self, x):
            return self.mlp(self.attention(x.flatten(1)))

    net = Net()
    a, m = (net.get_parameter(f"{n}.weight").detach().abs().double() for n in ("attention", "mlp"))
    gradient = m.sum(dim=0)[:, None].expand(-1, 4)
    diversity = torch.linalg.matrix_norm(gradient, "nuc") * torch.linalg.matrix_norm(a, "nuc")
    saliency = (m @ a).sum()
    found = score("dss", net, torch.zeros(1, 1, 2, 2))
    assert math.expm1(found) == pytest.approx((diversity + saliency).item())


def test_a_scaled_rotation_makes_a_circle_longer_by_its_scale():
    turn = torch.linalg.qr(torch.randn(9, 9)).Q
    found = score("length_distortion", chain(2.5 * turn), torch.zeros(1, 1, 3, 3))
    assert found == pytest.approx(2.5 * 2 * math.pi * 3, rel=1e-5)


def test_the_kernel_of_a_linear_map_is_that_of_its_images():
    images = torch.tensor([[3.0, 0.0], [0.0, 1.5]]).view(2, 1, 1, 2)
    assert score("ntk_condition", chain(torch.randn(3, 2)), images) == pytest.approx(4.0)


def test_params_and_depth_are_counts():
    for architecture in list(EACH.values())[:4]:
        model = fresh_model(architecture, CLASSES, 0)
        images = images_of(architecture, 1)
        assert score("params", model, images) == workload(architecture, CLASSES).params
        assert score("depth", model, images) == architecture.depth


# -- the contract -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", EACH)
def test_every_score_is_finite_repeatable_and_leaves_no_trace(case: str) -> None:
    architecture = EACH[case]
    images, labels = images_of(architecture), torch.arange(4) % CLASSES
    model = fresh_model(architecture, CLASSES, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    for name in SCORES:
        found = PROXIES[name].score(model, images, labels, 0)
        assert math.isfinite(found), name
        assert found == PROXIES[name].score(model, images, labels, 0), name
        assert found > 0 or name == "naswot", name
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["two stages", "class token, tables and PEG", "padded"])
def test_scores_hold_for_pyramids_special_tokens_and_padded_images(name):
    space = SMALL[name]
    for row in space.sample_genes(np.random.default_rng(0), 3):
        architecture = space.decode(row)
        sample = Sample(images_of(architecture), torch.arange(4) % CLASSES, "val", CLASSES)
        for proxy in SCORES:
            assert math.isfinite(score_of(PROXIES[proxy], architecture, sample)), proxy


def test_a_fresh_model_is_that_of_its_seed_and_leaves_the_generator_alone():
    architecture = EACH["attention-softmax"]
    state = torch.get_rng_state()
    first, same, other = (fresh_model(architecture, 3, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    name = "stages.0.blocks.0.mlp.fc1_weight"
    assert torch.equal(first[name], same[name])
    assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("proxy", list(PROXIES), ids=lambda p: p.name)
def test_a_proxy_says_what_it_is(proxy):
    assert proxy.label
    assert proxy.summary
    assert proxy.source
    assert proxy.direction in ("min", "max")
    assert all(isinstance(PROXIES[name], Score) for name in proxy.members)
    is_objective = isinstance(proxy, Score) and proxy.is_objective
    if is_objective:
        assert OBJECTIVES[proxy.name].cost == "cheap"
        assert OBJECTIVES[proxy.name].direction == proxy.direction
    elif isinstance(proxy, Combination):
        assert proxy.name not in OBJECTIVES


# -- combinations, warnings, columns ----------------------------------------------------------


def test_a_combination_knows_nothing_but_order():
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=20) for name in PROXIES["asvit_rank"].members}
    moved = {name: np.exp(3 * column) for name, column in columns.items()}
    combine = PROXIES["asvit_rank"].combine
    assert combine(columns).tolist() == combine(moved).tolist()


def test_the_best_of_all_members_comes_out_at_one():
    columns = {"length_distortion": np.array([1.0, 3.0, 2.0]), "ntk_condition": np.array([9, 1, 5])}
    assert PROXIES["asvit_rank"].combine(columns) == pytest.approx([1 / 3, 1, 2 / 3])


def test_a_proxy_built_for_softmax_warns_where_it_ranks_others():
    assert warning(PROXIES["dss"], ["softmax", "none"]) is None
    assert warning(PROXIES["naswot"], ["softmax", "separable"]) is None
    line = "dss was built for softmax, not for hilo, separable"
    assert warning(PROXIES["dss"], ["separable", "softmax", "hilo"]) == line
    assert "mean_rank was built for softmax" in str(warning(PROXIES["mean_rank"], ["window"]))


def test_columns_are_scored_once(tmp_path):
    architectures = [EACH["attention-softmax"], EACH["attention-separable"]]
    sample = Sample.first_of(images_of(architectures[0]), torch.arange(4) % CLASSES, "val", CLASSES)
    architectures = [a for a in architectures if a.image_size == architectures[0].image_size]
    store = EvaluationStore(tmp_path / "evaluations.jsonl")
    names = ("asvit_rank", "depth", "snip")
    made = proxy_columns(names, architectures, sample, store)
    assert list(made) == list(names)
    assert made["snip"][0] == score_of(PROXIES["snip"], architectures[0], sample)
    written = (tmp_path / "evaluations.jsonl").read_bytes()
    again = proxy_columns(names, architectures, sample, EvaluationStore(store.path))
    assert (tmp_path / "evaluations.jsonl").read_bytes() == written
    assert all(made[name].tolist() == again[name].tolist() for name in names)


def test_an_unknown_proxy_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'synflow'"):
        proxy_columns(["sinflow"], [], None)


# -- agreement --------------------------------------------------------------------------------


def test_agreement_is_scipys_with_ties():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, size=40), rng.normal(size=40)
    y[:20] += x[:20]
    assert kendall(x, y).value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic)
    for found in (kendall(x, y), spearman(x, y)):
        assert found.low < found.value < found.high
        assert found.low >= -1
        assert found.high <= 1


def test_agreement_of_equal_orders_is_certain_and_of_a_constant_unknown():
    x = np.arange(12.0)
    assert kendall(x, x**3).low == pytest.approx(1.0)
    assert kendall(x, -x).value == pytest.approx(-1.0)
    assert math.isnan(kendall(np.ones(12), x).value)
    assert math.isnan(spearman(np.ones(12), x).value)


# -- as objectives ----------------------------------------------------------------------------


def test_workers_score_what_is_searched_for():
    architecture = EACH["attention-softmax"]
    labels = torch.arange(4) % CLASSES
    sample = Sample.first_of(images_of(architecture), labels, "val", CLASSES)
    found = ProxyEvaluator(None, ("snip", "depth"), sample).evaluate(architecture)
    assert found == {"snip": score_of(PROXIES["snip"], architecture, sample), "depth": 2.0}


def test_only_a_search_for_proxies_has_other_evaluators():
    factory = SupernetEvaluatorFactory("folder", "{}", CLASSES, "w", "i")
    assert with_proxies(factory, ["accuracy"], "val") is factory
    made = with_proxies(factory, ["dss", "accuracy"], "val")
    assert made == ProxyEvaluatorFactory(factory, ("dss",), True, "val")


@pytest.mark.slow
def test_a_search_without_accuracy_ends_in_a_verified_front(finished, copy_of, capsys):
    folder = copy_of(finished)
    words = [f"supernet={folder}", f"out_dir={folder.parent}", "name=untrained", "progress=false"]
    asked = ["search.objectives=[dss,latency_ms]", "search.trials=16"]
    assert main(["search", *words, *asked, "executor=in_process", "profile.accept_poor=true"]) == 0
    front = Front.load(folder.parent / "untrained" / "front.json")
    said = capsys.readouterr().out
    assert "! dss was built for softmax, not for window" in said
    assert f"dss was not compared with accuracy yet: formfinder proxies {folder}" in said
    assert all({"dss", "accuracy"} <= set(member.metrics) for member in front.members)
    store = EvaluationStore(folder / "evaluations.jsonl")
    assert any(key.weights == WEIGHTS for key, _ in store.items())
