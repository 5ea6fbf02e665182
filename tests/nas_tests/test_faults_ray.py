"""Machines that leave and join a simulated cluster, addresses where none is, killed drivers."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli import main
from nas.executors.ray_session import check_address
from nas.study import read_study
from search_spaces.errors import UserError
from tests.nas_tests.test_faults import SEED, check
from tests.nas_tests.test_study_resume import FACTORY, run
from tests.nas_tests.tiny_run import lines

ROOT = Path(__file__).resolve().parents[2]

CLUSTER = """
import json, os, sys
from pathlib import Path
from ray.cluster_utils import Cluster
import ray.cloudpickle
from nas.executors import ExecutorOptions
from nas.executors.ray import RayExecutor
from tests.nas_tests import cluster_toy, study_toy
from tests.nas_tests.cluster_toy import ClusterFactory
from tests.nas_tests.study_toy import accuracy_of, architecture

for module in (cluster_toy, study_toy):
    ray.cloudpickle.register_pickle_by_value(module)
some = [architecture(w, (h, k)) for w in (16, 32, 64) for h in (1, 2, 4) for k in (1, 2)]
folder = Path(sys.argv[1])
notes = folder / "notes"
notes.mkdir()
cluster = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 1, "object_store_memory": 10**8, "include_dashboard": False},
)
options = ExecutorOptions(address=cluster.address, retries=0, timeout_s=300.0)


def finish(executor, outcomes):
    (folder / "found.json").write_text(json.dumps({
        "errors": [outcome.error for outcome in outcomes],
        "right": [
            dict(o.values) == {"accuracy": accuracy_of(o.architecture)} for o in outcomes
        ],
        "digests": sorted(outcome.architecture.digest() for outcome in outcomes),
        "wanted": sorted(each.digest() for each in some),
        "notes": [path.suffix for path in notes.iterdir() if path.suffix],
        "seats": len(executor._seats.all),
    }))
"""

LEAVES = """
cluster.add_node(num_cpus=1, object_store_memory=10**8)
doomed = cluster.add_node(num_cpus=1, object_store_memory=10**8)
cluster.wait_for_nodes()
outcomes = []
with RayExecutor(ClusterFactory(str(notes), doomed=doomed.node_id), options, folder) as executor:
    assert len(executor._seats.all) == 3
    for seat in executor._seats.all:
        ray.wait([seat.starting])  # all at once, so that each gets its tasks
    for outcome in executor.run(some, lambda: False):
        outcomes.append(outcome)
        if len(outcomes) == len(some) - 2:
            assert list(notes.glob(f"*.{doomed.node_id}"))
            cluster.remove_node(doomed, allow_graceful=False)
    while len(executor._seats.all) > 2:  # until Ray is sure of it, and the third seat given up
        assert not [o.error for o in executor.run(some[:2], lambda: False) if o.error]
    finish(executor, outcomes)
"""

JOINS = """
os.mkfifo(notes / "pipe")
outcomes = []
home = cluster.head_node.node_id
with RayExecutor(ClusterFactory(str(notes), home=home), options, folder) as executor:
    assert len(executor._seats.all) == 1
    for outcome in executor.run(some, lambda: False):
        outcomes.append(outcome)
        if len(outcomes) == 1:
            cluster.add_node(num_cpus=1, object_store_memory=10**8)
    finish(executor, outcomes)
"""


def on_cluster(code: str, folder: Path) -> dict[str, list[object]]:
    """What a driver of its own says of its evaluations."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    command = [sys.executable, "-c", CLUSTER + code, str(folder)]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[object]] = json.loads((folder / "found.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.ray
def test_what_a_lost_machine_had_to_do_is_done_elsewhere_and_is_nobodys_fault(
    tmp_path: Path,
) -> None:
    found = on_cluster(LEAVES, tmp_path)
    assert found["digests"] == found["wanted"]
    assert set(found["errors"]) == {None}, "and that without a single retry"
    assert all(found["right"])
    assert found["seats"] == 2, "there is no room for a third any more"


@pytest.mark.slow
@pytest.mark.ray
def test_a_machine_that_joins_gets_work(tmp_path: Path) -> None:
    found = on_cluster(JOINS, tmp_path)
    assert found["digests"] == found["wanted"]
    assert set(found["errors"]) == {None}
    assert len(set(found["notes"])) == 2
    assert found["seats"] == 2


# -- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no.such.host.invalid:1"])
def test_an_address_where_nothing_listens_is_refused_before_any_work(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", f"executor.address='{address}'", f"out_dir={tmp_path}/runs"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"executor.address='{address}' cannot be reached" in line
    assert "executor=in_process runs without Ray" in line
    assert list(tmp_path.iterdir()) == []


def test_auto_where_the_last_cluster_runs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match=r"'auto' \(\S+:1\) cannot be reached"):
        check_address("auto")


@pytest.mark.parametrize("address", ["head", "head:port", ":6379", "head:0", "ray://head"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UserError, match=r"executor\.address=.*HOST:PORT"):
        check_address(address)


@pytest.mark.slow
@pytest.mark.ray
def test_a_server_that_is_no_ray_is_given_up(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nas.executors import ExecutorOptions\n"
        "from nas.executors.ray_session import start\n"
        "start(ExecutorOptions(address=sys.argv[1]), Path(sys.argv[2]))"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", code, address, str(tmp_path)],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
    assert f"Ray cannot join {address}" in done.stderr.splitlines()[-1]


# -- killed drivers ---------------------------------------------------------------------------

DRIVER = """
import sys
from dataclasses import replace
from pathlib import Path
import ray.cloudpickle
from nas.executors import ExecutorOptions
from nas.executors.ray import RayExecutor
from tests.nas_tests import study_toy, test_study_resume
from tests.nas_tests.test_study_resume import FACTORY, run
ray.cloudpickle.register_pickle_by_value(study_toy)
folder, log = Path(sys.argv[1]), sys.argv[2]
test_study_resume.InProcess = lambda factory: RayExecutor(
    replace(factory, log=log), ExecutorOptions(workers=2), folder / "ray"
)
run(folder, "nsga2", 40)
"""


@pytest.mark.slow
@pytest.mark.ray
def test_ctrl_c_in_a_terminal_lets_workers_finish(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "stopped", tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", DRIVER, str(folder), str(pipe)]
    with (
        os.fdopen(os.open(pipe, os.O_RDWR), "rb", buffering=0) as begun,
        subprocess.Popen(command, cwd=ROOT, start_new_session=True) as driver,
    ):
        digests = [begun.read(17).decode().strip() for _ in range(3)]
        os.killpg(driver.pid, signal.SIGINT)  # a terminal tells every process of the group
        assert driver.wait() == 0
        os.set_blocking(begun.fileno(), False)
        digests += (begun.read() or b"").decode().split()
    known = {row["architecture"] for row in lines(folder / "evaluations.jsonl")}
    assert set(digests) - FACTORY.raises == known, "what was begun was finished and kept"
    assert len(read_study(folder / "study.log").trials) < 40


@pytest.mark.slow
@pytest.mark.ray
def test_drivers_killed_while_ray_works_lose_nothing(tmp_path: Path) -> None:
    sys.stdout.write(f"FORMFINDER_KILL_SEED={SEED}\n")
    undisturbed, folder, pipe = (tmp_path / name for name in ("undisturbed", "killed", "pipe"))
    run(undisturbed, "nsga2", 40)
    os.mkfifo(pipe)
    draw = random.Random(SEED)
    command = [sys.executable, "-c", DRIVER, str(folder), str(pipe)]
    descriptor = os.open(pipe, os.O_RDWR)  # both ends: nobody waits for another to open it
    with os.fdopen(descriptor, "rb", buffering=0) as begun:
        for _ in range(3):
            with subprocess.Popen(command, cwd=ROOT) as driver:
                ended = os.pidfd_open(driver.pid)
                for _ in range(draw.randrange(1, 9)):
                    ready, _, _ = select.select([begun, ended], [], [])
                    assert begun in ready, "the driver ended by itself"
                    begun.read(17)  # an evaluation has begun in a worker: its digest, a newline
                driver.kill()
                os.close(ended)
        before = read_study(folder / "study.log").trials
        assert len(before) < 40
        subprocess.run(command, cwd=ROOT, check=True)
    check(folder, undisturbed, 40)
