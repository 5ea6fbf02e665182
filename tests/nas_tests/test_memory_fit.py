"""Forms of peak memory that are fitted to measurements: what they find, what runs do with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.display import Display
from nas.hardware.profile import HardwareProfile
from nas.measurement.fitted_liveness import FittedLiveness, MemoryForm
from nas.measurement.memory import PeakMemory, costs_on
from nas.measurement.memory_file import fitted_in, memory_of
from nas.measurement.memory_fit import FittedMemory, fit_memory, max_times
from nas.measurement.sites import ANY, EAGER, ONNX, site, site_elements
from nas.run_folder import RunFolder, read_json, write_json
from nas.runtimes.base import RUNTIMES
from nas.steps import memory
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.costs import SpaceCosts
from supernet.operators import all_cards
from supernet.workload import workload
from tests.nas_tests.test_memory_file import CLASSES, PROFILES, SPACE, profile, run
from tests.nas_tests.test_memory_liveness import SPACE as MIXED

MIXED_SPACE = SearchSpace(MIXED, all_cards())
BATCH = 8
TRUE = MemoryForm(
    batch=BATCH,
    offset_mb=0.0,
    weights="fp32",
    weights_share=1.0,
    inputs_share=1.0,
    sites={site(EAGER, ANY): 0.8, site(ONNX, "attention"): 0.9, site(EAGER, "norm"): 1.2},
)


def rows(count: int, seed: int = 0) -> Any:
    return MIXED_SPACE.sample_genes(np.random.default_rng(seed), count)


def told(form: MemoryForm, genes: Any) -> list[PeakMemory]:
    """What a runtime that needs what ``form`` says would tell."""
    costs = FittedLiveness.of("ours", form).costs(MIXED_SPACE, CLASSES)(genes)
    weights_mb_B: Any = costs.weights_mb_B  # type: ignore[attr-defined]
    return [
        PeakMemory(weights_mb=w, peak_activation_mb=all_mb - w, runtime="ours", batch=form.batch)
        for w, all_mb in zip(weights_mb_B, costs.peak_memory_mb(form.batch), strict=True)
    ]


def fitted(form: MemoryForm) -> FittedMemory:
    genes = rows(40)
    networks = [MIXED_SPACE.decode(row) for row in genes]
    return fit_memory(networks, told(form, genes), CLASSES)


def largest_error(form: MemoryForm, true: MemoryForm) -> float:
    """On networks that were not fitted to."""
    genes = rows(200, seed=5)
    found_mb, true_mb = (
        FittedLiveness.of("ours", one).costs(MIXED_SPACE, CLASSES)(genes).peak_memory_mb(BATCH)
        for one in (form, true)
    )
    return float(np.abs(found_mb / true_mb - 1).max())


def test_a_form_says_of_columns_what_it_says_of_single_networks() -> None:
    genes = rows(40)
    found = FittedLiveness.of("ours", TRUE).costs(MIXED_SPACE, CLASSES)(genes).peak_memory_mb(BATCH)
    for row, mb in zip(genes, found, strict=True):
        work = workload(MIXED_SPACE.decode(row), CLASSES)
        alive = [TRUE.sites.get(n, 0.0) * e for n, e in site_elements(work.kernels, BATCH)]
        expected = 4e-6 * (work.params + BATCH * work.input_elements + max(alive))
        assert mb == pytest.approx(expected)


def test_what_is_no_memory_stays_as_it_is() -> None:
    genes, plain = rows(20), SpaceCosts(MIXED_SPACE, CLASSES)
    found = FittedLiveness.of("ours", TRUE).costs(MIXED_SPACE, CLASSES)(genes)
    np.testing.assert_array_equal(found.features_BF, plain(genes).features_BF)
    np.testing.assert_array_equal(found.macs_B, plain(genes).macs_B)


def test_shares_of_a_maximum_are_found_and_no_others_err_less() -> None:
    rng = np.random.default_rng(0)
    columns_BS, shares_S = rng.uniform(1, 9, (60, 3)), np.array([0.5, 1.0, 2.0])
    exact_B = (columns_BS * shares_S).max(axis=1)
    np.testing.assert_allclose(max_times(columns_BS, exact_B), shares_S)
    noisy_B = exact_B * np.exp(rng.uniform(-0.1, 0.1, 60))

    def worst(shares: Any) -> float:
        return float(np.abs(np.log((columns_BS * shares).max(axis=1) / noisy_B)).max())

    best = max_times(columns_BS, noisy_B)
    assert worst(best) <= 0.1
    for _ in range(200):
        assert worst(best) <= worst(best * np.exp(0.05 * rng.standard_normal(3))) + 1e-12


def test_a_runtime_that_needs_what_eager_needs_is_told_so_exactly() -> None:
    eager = replace(TRUE, sites={site(EAGER, ANY): 1.0})
    assert fitted(eager).form == eager


def test_a_runtimes_own_form_is_found_from_forty_networks() -> None:
    found = fitted(TRUE)
    assert largest_error(found.form, TRUE) < 0.1
    assert found.form == fitted(TRUE).form


def test_a_device_that_tells_one_figure_for_everything_is_fitted_too() -> None:
    """A process of 30 MB that holds int8 weights: nothing of it is known apart."""
    true = MemoryForm(
        batch=BATCH,
        offset_mb=30.0,
        weights="fp32",
        weights_share=0.3,
        inputs_share=0.5,
        sites={site(EAGER, ANY): 0.5},
    )
    assert largest_error(fitted(true).form, true) < 0.01


def test_quantised_weights_are_told_from_others() -> None:
    true = MemoryForm(
        batch=BATCH,
        offset_mb=0.0,
        weights="int8",
        weights_share=1.0,
        inputs_share=1.0,
        sites={site(ONNX, ANY): 1.0},
    )
    found = fitted(true).form
    assert found.weights == "int8"
    assert found.weights_share == pytest.approx(1.0)


# -- runs -------------------------------------------------------------------------------------


@pytest.fixture
def device(tmp_path: Path) -> tuple[HardwareProfile, Path]:
    """A device behind a command whose process needs 1 MB and seven files, and its log."""
    log, script = tmp_path / "calls", tmp_path / "device.sh"
    printed = """'{"latencies_ms": [1.0], "peak_memory_mb": %d.%06d}\\n'"""
    script.write_text(
        f'echo x >> {log}\nn=$(( $(wc -c < "$1") * 7 + 1000000 ))\n'
        f"printf {printed} $(( n / 1000000 )) $(( n % 1000000 ))\n"
    )
    text = f"sh {script} {{model}}"
    return profile(device="command", runtime="command", command=text, batch=1), log


def of(folder: Path, wanted: HardwareProfile) -> Any:
    """A run for one profile, opened as ``Run`` opens one."""
    found = fitted_in(RunFolder(folder).memory, wanted.key())
    made = run(folder, (wanted,))
    (one,) = made.searches
    one.costs = costs_on(wanted, SPACE, CLASSES, found)
    one.price_anew = lambda: setattr(
        one,
        "costs",
        costs_on(wanted, SPACE, CLASSES, fitted_in(RunFolder(folder).memory, wanted.key())),
    )
    one.genes = lambda networks: np.stack([SPACE.encode(network) for network in networks])
    return made


def test_what_a_command_reports_is_searched_with_and_shown(
    tmp_path: Path,
    device: tuple[HardwareProfile, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted, log = device
    made = of(tmp_path / "run", wanted)
    memory.check_memory(made, Display(progress=False))
    out = " ".join(capsys.readouterr().out.split())
    assert "peak memory in command, batch 1, fitted form held out on" in out
    assert "peak memory in torch_eager, batch 1, closed form" in out
    assert "cannot be told" not in out

    (one,) = made.searches
    assert one.costs.liveness.runtime == "command"
    network = memory.profile_subnets(one, 1)[0]
    model = memory.build(network, CLASSES)
    costs = one.costs(one.genes([network]))
    metric = memory.member_memory(one, model, costs)
    content = RUNTIMES["command"].export(model, one.example(wanted), "fp32")  # type: ignore[attr-defined]
    assert metric.kind == "measured"
    assert metric.source["runtime"] == "command"
    assert metric.value == pytest.approx(1 + 7e-6 * len(content), abs=1e-5)
    assert metric.predicted is not None
    assert metric.predicted["value"] == pytest.approx(metric.value, rel=0.1)

    calls = log.read_text()
    again = of(tmp_path / "run", wanted)
    memory.check_memory(again, Display(progress=False))
    assert log.read_text() == calls  # nothing is measured again
    assert again.searches[0].costs.liveness.identity == one.costs.liveness.identity


@pytest.mark.slow
def test_measuring_goes_on_where_it_was_killed(
    tmp_path: Path, device: tuple[HardwareProfile, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, log = device
    monkeypatch.setattr(memory, "fitted_memory", _killed_behind(memory.fitted_memory, 6))
    with pytest.raises(KeyboardInterrupt):
        memory.check_memory(of(tmp_path / "run", wanted), Display(progress=False))
    monkeypatch.undo()
    memory.check_memory(of(tmp_path / "run", wanted), Display(progress=False))
    stored = memory_of(read_json(RunFolder(tmp_path / "run").memory), wanted.key())
    assert log.read_text().count("x") == len(stored["rows"])


def _killed_behind(fit: Any, count: int) -> Any:
    from nas.steps import memory_fitting

    measure, done = memory_fitting.measured_in, []

    def killed(*args: Any) -> Any:
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(1)
        return measure(*args)

    def fitting(*args: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory_fitting, "measured_in", killed)
            return fit(*args)

    return fitting


@pytest.mark.parametrize(
    "damage", [{"sites": 3}, {"batch": 0}, {"offset_mb": "x"}, {"weights": "f"}]
)
def test_a_damaged_form_is_one_line_that_says_what_to_do(
    tmp_path: Path, damage: dict[str, Any]
) -> None:
    entry = {"runtime": "command", "form": TRUE.to_dict() | damage}
    path = tmp_path / "memory.json"
    write_json(path, {"profiles": {"k": entry}})
    with pytest.raises(UserError, match=r"memory.json.*form.*delete the file") as error:
        fitted_in(path, "k")
    assert "\n" not in str(error.value)


def test_files_of_before_have_no_form(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    assert fitted_in(path, "k") is None
    for stored in ({"runtime": "torch_eager", "rows": []}, {"profiles": {"k": {"rows": []}}}):
        write_json(path, stored)
        assert fitted_in(path, "k") is None


def test_another_fit_is_another_study() -> None:
    other = MemoryForm.from_dict(json.loads(json.dumps(TRUE.to_dict())) | {"offset_mb": 1.0})
    same = MemoryForm.from_dict(json.loads(json.dumps(TRUE.to_dict())))
    names = [FittedLiveness.of("ours", form).identity for form in (TRUE, same, other)]
    assert names[0] == names[1] != names[2]
    assert SpaceCosts(SPACE, CLASSES).liveness.identity == "torch_eager"
    assert PROFILES[0].runtime == "torch_eager"
