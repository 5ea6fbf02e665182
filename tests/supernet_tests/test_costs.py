"""Costs of gene matrices equal the costs of their architectures, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces.workload import Kernel, elementwise, linear
from supernet.costs import SpaceCosts
from supernet.features import BALANCES, CACHE, PLAIN, PRODUCTS, Features
from supernet.workload import workload
from tests.search_spaces_tests.spaces import EVIT, SMALL, TOME, WINDOW, default_space, space_of

CLASSES = 10
EVERYTHING = {
    "width": [16, 32],
    "depth": [1, 2, 3],
    "heads": [1, 3],
    "mlp_ratio": [1, 2.5],
    "attention": ["softmax", WINDOW, "hilo", "separable", "none"],
    "reduction": ["none", TOME, EVIT, "pool2d", {"op": "tome", "r": [1]}],
}
SPACES = {
    **SMALL,
    "the default space": default_space(),
    "two stages of everything": space_of(
        [EVERYTHING, EVERYTHING],
        image_size=[16, 24],
        channels=3,
        patch_size=[2, 4],
        position=["none", "peg", "table"],
        special_tokens=2,
        min_tokens=2,
    ),
    "padded and coarse": space_of([EVERYTHING], patch_size=[3, 5], pad=True, min_tokens=1),
}
spaces = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())


def rows_of(space, count=120):
    """Arbitrary genes, mostly not canonical."""
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(len(g.choices), size=count) for g in space.genes], axis=1)


@spaces
def test_a_batch_costs_what_its_architectures_cost(space):
    genes_BG = rows_of(space)
    costs = SpaceCosts(space, CLASSES)(genes_BG)
    legal_BG, _ = space.repair(genes_BG)
    for index, row in enumerate(legal_BG):
        work = workload(space.decode(row), CLASSES)
        assert costs.params_B[index] == work.params
        assert costs.macs_B[index] == work.macs
        for batch in (1, 7):
            assert costs.peak_activation_mb(batch)[index] == pytest.approx(
                work.peak_activation_mb(batch), rel=1e-12
            )
            assert costs.peak_memory_mb(batch)[index] == pytest.approx(
                work.peak_memory_mb(batch), rel=1e-12
            )


@spaces
def test_the_order_and_the_company_of_candidates_say_nothing(space):
    genes_BG, costs = rows_of(space, 40), SpaceCosts(space, CLASSES)
    together = costs(genes_BG)
    backwards = costs(genes_BG[::-1])
    alone = SpaceCosts(space, CLASSES)(genes_BG[3:4])
    for name in ("params_B", "macs_B", "peak_elements_B", "features_BF"):
        assert (getattr(backwards, name)[::-1] == getattr(together, name)).all()
        assert (getattr(alone, name)[0] == getattr(together, name)[3]).all()


@spaces
def test_prices_do_not_depend_on_what_was_priced_before(space):
    genes_BG = space.sample_genes(np.random.default_rng(1), 60)
    grown = SpaceCosts(space, CLASSES)
    for start in range(0, 60, 7):  # tables fill bit by bit
        grown.legal(genes_BG[start : start + 7])
    bit_by_bit, at_once = grown.legal(genes_BG), SpaceCosts(space, CLASSES)(genes_BG)
    for name in ("params_B", "macs_B", "front_B2", "behind_B2", "features_BF"):
        assert (getattr(bit_by_bit, name) == getattr(at_once, name)).all(), name


def test_more_of_anything_costs_more():
    space, costs = SPACES["the default space"], None
    costs = SpaceCosts(space, CLASSES)
    base = space.extreme(largest=False, patch_size=4)
    for gene in ("stage0.width", "stage0.depth", "stage0.layer0.heads", "stage0.layer0.mlp_ratio"):
        grown = base.copy()
        grown[space.layout.column[gene]] += 1
        before, after = (costs(row[None]) for row in (base, grown))
        assert after.params_B > before.params_B, gene
        assert after.macs_B > before.macs_B, gene


def test_features_name_what_a_network_does():
    space = SPACES["the default space"]
    genes_BG = space.sample_genes(np.random.default_rng(0), 50)
    costs = SpaceCosts(space, CLASSES)(genes_BG)
    assert costs.features_BF.shape == (50, len(costs.feature_names))
    features = dict(zip(costs.feature_names, costs.features_BF.T, strict=True))
    for index, row in enumerate(genes_BG):
        architecture = space.decode(row)
        work = workload(architecture, CLASSES)
        for kind in (*PRODUCTS, *PLAIN):
            of_kind = [kernel for kernel in work.kernels if kernel.op == kind]
            assert features[f"{kind}_moved"][index] == sum(kernel.moved for kernel in of_kind)
            if kind in PRODUCTS:
                assert features[f"{kind}_macs"][index] == sum(kernel.macs for kernel in of_kind)
        for balance in BALANCES:
            slower = sum(max(kernel.macs, balance * kernel.moved) for kernel in work.kernels)
            assert features[f"roofline_{balance}"][index] == slower
        blocks = architecture.stages[0].blocks
        for label in {str(block.attention) for block in blocks} - {"none"}:
            layers = [e for e in work.layers if e.name.endswith("attention") and e.op == label]
            assert features[f"layers_{label}"][index] == len(layers)
            moved = sum(kernel.moved for layer in layers for kernel in layer.kernels)
            assert features[f"moved_{label}"][index] == moved
        total = sum(features[f"{kind}_macs"][index] for kind in (*PRODUCTS, "other"))
        assert total == costs.macs_B[index]
        assert features["weights"][index] == costs.params_B[index]


def test_kernels_cost_nothing_below_zero():
    space = SPACES["two stages of everything"]
    for row in space.sample_genes(np.random.default_rng(1), 60):
        for kernel in workload(space.decode(row), CLASSES).kernels:
            assert isinstance(kernel, Kernel)
            assert min(kernel.macs, kernel.moved, kernel.live, kernel.weights) >= 0, kernel


def test_features_tell_what_makes_the_same_macs_slower():
    names = (features := Features(["softmax"])).names
    whole, odd = linear(8, 32, 64), linear(np.array([6]), 32, 64)
    huge, wide = linear(2048, 512, 512), elementwise("gelu", CACHE + 7)

    def row(kernel):
        found = features.rows(1, [kernel], {})[0]
        return dict(zip(names, found, strict=True))

    assert row(whole)["linear_fours"] == row(odd)["linear_fours"] == whole.macs
    assert row(odd)["linear_macs"] == 6 * 32 * 64
    assert row(whole)["linear_root"] == np.sqrt(whole.macs)
    assert row(whole)["spill_linear"] == row(whole)["spill_other"] == 0
    assert row(huge)["spill_linear"] == 2048 * 1024 + 512 * 513 - CACHE
    assert row(wide)["spill_other"] == 7


def test_features_tell_what_merged_tokens_ask_for():
    layers = {"depth": [3], "attention": ["separable"], "reduction": [TOME, EVIT]}
    stage = {**layers, "width": [16], "heads": [1], "mlp_ratio": [1]}
    space = space_of([stage], min_tokens=1, position=["none"])
    costs = SpaceCosts(space, CLASSES)
    for genes_G in space.sample_genes(np.random.default_rng(0), 20):
        found = costs(genes_G[None])
        features = dict(zip(found.feature_names, found.features_BF[0], strict=True))
        ops = [block.reduction.op for block in space.decode(genes_G).stages[0].blocks]
        first = ops.index("tome") if "tome" in ops else len(ops)
        assert features["ones_count"] == ("tome" in ops)
        assert features["sizes_count"] == ops[first:].count("evit")
        assert features["size_bias_count"] == len(ops[first + 1 :])
