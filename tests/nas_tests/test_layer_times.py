"""Layers that are timed in a real pass: each has a time, and together they are the pass."""

from __future__ import annotations

import time

import numpy as np
import torch

from nas.cli import main
from nas.measurement.layers import measure_layers
from supernet.extract import build_model
from supernet.workload import workload
from tests.search_spaces_tests.spaces import default_space


def test_every_layer_of_random_networks_has_its_time() -> None:
    space = default_space()
    for row in space.sample_genes(np.random.default_rng(0), 6):
        architecture = space.decode(row)
        layers = workload(architecture, 10).layers
        names = [layer.name for layer in layers]
        began = time.perf_counter()
        found = measure_layers(build_model(architecture, 10).eval(), 2, names)
        spent_ms = 1e3 * (time.perf_counter() - began)

        assert list(found) == names
        for layer in layers:  # attention may be left out, and then takes nothing
            assert (found[layer.name] > 0) == bool(layer.kernels), layer.name
        assert sum(found.values()) * 10 < spent_ms  # ten passes or more were run


def test_threads_are_left_as_they_were() -> None:
    space, before = default_space(), torch.get_num_threads()
    architecture = space.smallest()
    measure_layers(build_model(architecture, 10).eval(), 1, ["embedding"], threads=before + 1)

    assert torch.get_num_threads() == before


def test_describe_prints_what_each_layer_took(capsys) -> None:
    assert main(["describe", "deit_tiny", "hardware=cpu", "measure=true"]) == 0
    said = capsys.readouterr().out
    assert "run ms" in said
    assert "nothing was run" not in said
    layer = next(line.split() for line in said.splitlines() if "0.0.mlp" in line)
    assert float(layer[3]) > 0


def test_only_this_computer_is_measured_so(capsys) -> None:
    for words, wanted in (
        (["hardware=rtx4090", "measure=true"], "only hardware=cpu"),
        (["hardware=cpu", "measure=1"], "true or false"),
        (["measure=true"], "hardware=NAME"),
    ):
        assert main(["describe", "deit_tiny", *words]) == 2
        assert wanted in capsys.readouterr().err
