"""Measuring on the labelled node of a simulated cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.executors.executor import ExecutorOptions
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.remote import sessions_for
from search_spaces.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PROFILE = HardwareProfile.of("pi5", HardwareConfig(runtime="torch_eager"), (16, 16), 1)

DRIVER = """
import json, sys
from pathlib import Path
import psutil, ray
from ray.cluster_utils import Cluster
from nas.executors.executor import ExecutorOptions
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.protocol import measure_models
from nas.measurement.remote import sessions_for
from nas.measurement.slot import Plan
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import architecture

folder = Path(sys.argv[1])
cluster = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 1, "object_store_memory": 10**8, "include_dashboard": False},
)
options = ExecutorOptions(address=cluster.address)
profile = HardwareProfile.of("pi5", HardwareConfig(runtime="torch_eager"), (16, 16), 1)
plan = Plan(rounds=2, warmup_runs=1, rewarm_runs=1, max_runs=4, min_runs=2, reference_runs=2,
            block=2)


def never():
    raise AssertionError("built on the driver's machine")


ops = ("softmax", "softmax")
items = [(architecture(w, (h, 1), ops), never) for w in (16, 32) for h in (1, 2)]


def device_node():
    return cluster.add_node(
        num_cpus=2, object_store_memory=10**8, resources={"formfinder_device_pi5": 1}
    )


def measure(on_progress=None):
    with sessions_for(profile, "ray", options, folder / "ray", 10) as sessions:
        return sessions and measure_models(
            items, profile, folder / "rows.jsonl", plan=plan, sessions=sessions,
            on_progress=on_progress,
        )
"""

ALONE = """
node = device_node()
cluster.wait_for_nodes()
found = {"free": [], "elsewhere": [], "pinned": []}


@ray.remote(num_cpus=1)
def where():
    return ray.get_runtime_context().get_node_id()


def look(done, total):
    free = ray.available_resources()
    found["free"].append([free.get("formfinder_device_pi5", 0), free.get("CPU", 0)])
    found["elsewhere"].append(ray.get(where.remote()) != node.node_id)
    benches = [p for p in psutil.process_iter() if p.name().startswith("ray::Bench")]
    found["pinned"].append([len(p.cpu_affinity()) for p in benches])


rows = measure(look)
found["rows"] = [row.latency_ms for row in rows]
found["cores"] = rows[0].machine["cores"]
print(json.dumps(found))
"""

LOST = """
assert measure() is None, "no node is labelled: it is measured here"
node = device_node()
cluster.wait_for_nodes()


def lose(done, total):
    if done != 2:
        return
    benches = [p for p in psutil.process_iter() if p.name().startswith("ray::Bench")]
    cluster.remove_node(node, allow_graceful=False)
    # A machine that is gone takes everything along; here the actor outlives its raylet for long
    # enough to measure the rest.
    for process in benches:
        process.kill()
    psutil.wait_procs(benches)


found = {}
try:
    measure(lose)
except UserError as error:
    found["error"] = str(error)
found["kept"] = len((folder / "rows.jsonl").read_text().splitlines())
device_node()
cluster.wait_for_nodes()
found["rows"] = len(measure())
print(json.dumps(found))
"""


def driver(code: str, folder: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER + code, str(folder)],
        env=environment,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.ray
def test_a_labelled_node_measures_alone_and_pinned(tmp_path: Path) -> None:
    found = driver(ALONE, tmp_path)
    assert len(found["rows"]) == 4
    assert all(value > 0 for value in found["rows"])
    for label, cpus in found["free"]:
        assert label == 0
        assert cpus <= 1, "both CPUs of the node are taken; the head's one is left"
    assert all(found["elsewhere"]), "what else the cluster does is done on other nodes"
    assert found["pinned"] == [[1], [1]], "one process, on the one core that its thread needs"
    assert found["cores"] == len(os.sched_getaffinity(0)), "and the machine is told as it is"


@pytest.mark.slow
@pytest.mark.ray
def test_a_lost_node_keeps_its_rows_and_the_next_goes_on(tmp_path: Path) -> None:
    found = driver(LOST, tmp_path)
    assert "hardware='pi5': the node with formfinder_device_pi5 was lost" in found["error"]
    assert "the same command goes on from there" in found["error"]
    assert found["kept"] == 2
    assert found["rows"] == 4


@pytest.mark.parametrize(("executor", "address"), [("in_process", "127.0.0.1:1"), ("ray", None)])
def test_without_a_cluster_everything_is_measured_here(
    executor: str, address: str | None, tmp_path: Path
) -> None:
    options = ExecutorOptions(address=address)
    with sessions_for(PROFILE, executor, options, tmp_path, 10) as sessions:
        assert sessions is None


def test_a_cluster_that_is_not_there_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    options = ExecutorOptions(address="127.0.0.1:1")
    with (
        pytest.raises(UserError, match="cannot be reached"),
        sessions_for(PROFILE, "ray", options, tmp_path, 10),
    ):
        pass
