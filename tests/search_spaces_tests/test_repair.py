"""Repair of arbitrary genes: always legal, never again, never what is legal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.space import SearchSpace
from tests.search_spaces_tests.spaces import SMALL, default_space

SPACES = {**SMALL, "the default space": default_space()}


def any_genes(space: SearchSpace):
    """A matrix of arbitrary choices."""
    row = st.tuples(*(st.integers(0, len(gene.choices) - 1) for gene in space.genes))
    return st.lists(row, min_size=1, max_size=8).map(lambda rows: np.array(rows, dtype=np.int64))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_what_comes_out_is_legal_and_stays_as_it_is(space):
    @settings(max_examples=40, deadline=None, database=None)
    @given(any_genes(space))
    def holds(genes_BG):
        asked = genes_BG.copy()
        legal_BG, trace = space.repair(genes_BG)
        assert (genes_BG == asked).all()  # not changed in place
        again_BG, again = space.repair(legal_BG)
        assert (again_BG == legal_BG).all()
        assert (again.start_B == trace.start_B).all()
        for row in legal_BG:
            architecture = space.decode(row)
            assert space.why_not(architecture) is None
            assert (space.encode(architecture) == row).all()

    holds()


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_rows_are_repaired_one_by_one(space):
    """A candidate's repair does not depend on its neighbours in the batch."""
    rng = np.random.default_rng(0)
    genes_BG = np.stack([rng.integers(len(g.choices), size=50) for g in space.genes], axis=1)
    together = space.repair(genes_BG)[0]
    alone = np.concatenate([space.repair(row[None])[0] for row in genes_BG])
    assert (together == alone).all()


def test_sizes_that_are_legal_are_kept():
    """Only operators that may not stand at their place are touched."""
    space = SPACES["the default space"]
    rng = np.random.default_rng(1)
    genes_BG = np.stack([rng.integers(len(g.choices), size=200) for g in space.genes], axis=1)
    legal_BG, _ = space.repair(genes_BG)
    kept = [i for i, gene in enumerate(space.genes) if gene.name in ("stage0.width", "patch_size")]
    assert (legal_BG[:, kept] == genes_BG[:, kept]).all()
    column = space.layout.column["stage0.layer0.mlp_ratio"]
    assert (legal_BG[:, column] == genes_BG[:, column]).all()


@pytest.mark.parametrize("space", SMALL.values(), ids=SMALL.keys())
def test_legal_rows_are_traced_to_where_repairing_them_finds_them(space):
    rows = space.sample_genes(np.random.default_rng(0), 200)
    again, walked = space.repair(rows)
    assert (again == rows).all()
    traced = space.trace(rows)
    assert (traced.start_B == walked.start_B).all()
    for name in ("entered", "before", "after"):
        for mine, theirs in zip(getattr(traced, name), getattr(walked, name), strict=True):
            assert (mine == theirs).all(), name
