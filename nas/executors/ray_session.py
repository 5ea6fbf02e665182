"""Starting Ray, quietly and locally, or joining a cluster. Ray is imported here and nowhere before.

Traps that are handled: a driver started by ``uv run`` makes Ray start every worker through uv;
workers put the driver's working directory first on ``sys.path``, so a user's own folder ``nas/``
would shadow the package; glibc gives large activations back to the system after each call.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.deadline import within
from nas.executors.executor import ExecutorOptions
from search_spaces.errors import UserError, bad_value
from search_spaces.registry import PLUGINS_VARIABLE, plugin_folders

OBJECT_STORE_BYTES = 200 * 10**6  # at least, beside what the workers share
CONNECT_S = 10.0
JOIN_S = 20.0
WITHOUT = "executor=in_process runs without Ray"

# Read by Ray when it is imported or started. A user's own setting wins.
_DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}


@dataclass(frozen=True, slots=True)
class Session:
    """A Ray that can be used.

    Attributes:
        ray: the module.
        owner: whether it was started or joined here, and so is left by ``close``.
        elastic: whether machines may join and leave.
    """

    ray: Any
    owner: bool
    elastic: bool

    def close(self) -> None:
        """Shut it down, or leave the cluster, where this was the start of it."""
        if self.owner and self.ray.is_initialized():
            self.ray.shutdown()


def worker_environment(options: ExecutorOptions) -> dict[str, str]:
    """Environment of the worker processes, set before they start."""
    environment = {
        "OMP_NUM_THREADS": str(options.threads),
        "MKL_NUM_THREADS": str(options.threads),
        "MALLOC_MMAP_THRESHOLD_": "1073741824",
        "MALLOC_TRIM_THRESHOLD_": "4294967296",
    }
    folders = [str(folder.resolve()) for folder in plugin_folders()]
    if folders:
        environment[PLUGINS_VARIABLE] = os.pathsep.join(folders)
    return environment


def import_ray() -> Any:
    """The module ``ray``.

    Raises:
        UserError: it is not installed, or broken.
    """
    for name, value in _DRIVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UserError(f"executor=ray: Ray cannot be imported ({error}); {WITHOUT}") from error
    return ray


def check_address(address: str) -> None:
    """Refuse an address where nothing listens, within ``CONNECT_S``.

    Raises:
        UserError: it is no address, or cannot be reached.
    """
    found = _located(address)
    host, _, port = found.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise bad_value("executor.address", address, "HOST:PORT, ray://HOST:PORT, auto or null")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        where = f" ({found})" if found != address else ""
        raise UserError(
            f"executor.address={address!r}{where} cannot be reached "
            f"({error.strerror or error}); is the cluster up? "
            f"executor.address=null starts a local Ray, {WITHOUT}"
        ) from error


def _located(address: str) -> str:
    """``auto`` as Ray resolves it; perhaps to a cluster that runs no more."""
    if address != "auto":
        return address
    import_ray()
    from ray._private.services import canonicalize_bootstrap_address

    try:
        found = canonicalize_bootstrap_address(address)
    except ConnectionError:
        found = None
    if found is None:
        raise UserError(
            "executor.address='auto': no Ray runs on this machine; executor.address=null starts a "
            f"local one, {WITHOUT}"
        )
    return str(found)


def start(options: ExecutorOptions, folder: Path, shared_bytes: int = 0) -> Session:
    """Start a local Ray or join the cluster at ``options.address``.

    Args:
        options: workers and threads.
        folder: made the working directory for the start, and so the workers'; it must hold no
            Python packages.
        shared_bytes: what all workers will read in one local object store.

    Returns:
        It. Where the process already has a Ray, that one is used.

    Raises:
        UserError: Ray cannot be imported, started or joined.
    """
    if options.address is not None:
        check_address(options.address)
    ray = import_ray()
    if ray.is_initialized():
        return Session(ray, owner=False, elastic=True)
    arguments: dict[str, Any] = {"address": options.address or "local"}
    if options.address is None:
        # ``None`` would join any cluster that happens to run on this machine.
        arguments |= {
            "num_cpus": (options.workers or local_seats(options.threads)) * options.threads,
            "object_store_memory": OBJECT_STORE_BYTES + shared_bytes + shared_bytes // 4,
            "include_dashboard": False,
        }
    else:
        arguments["address"] = _located(options.address)
        _check_ray(ray, arguments["address"])
    environment = worker_environment(options)  # here: a relative folder means the user's own place
    try:
        with _working_directory(folder):
            ray.init(
                **arguments,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": environment},
            )
    except Exception as error:
        raise _not_started(options.address, error) from error
    return Session(ray, owner=True, elastic=options.address is not None)


def _check_ray(ray: Any, address: str) -> None:
    """Refuse a server that is no Ray, or that hangs: ``ray.init`` would wait for it for ever.

    Raises:
        UserError: there is no answer within ``JOIN_S``.
    """
    if address.startswith("ray://"):  # its client gives up by itself
        return
    try:
        within(JOIN_S, lambda: ray._raylet.GcsClient(address=address))
    except TimeoutError as error:
        raise UserError(
            f"executor=ray: Ray cannot join {address}: it does not answer as a Ray cluster does "
            f"within {JOIN_S:g} s; {WITHOUT}"
        ) from error
    except Exception as error:
        raise _not_started(address, error) from error


def _not_started(address: str | None, error: Exception) -> UserError:
    what = f"cannot join {address}" if address else "cannot start"
    reason = " ".join(str(error).split())[:300]
    return UserError(f"executor=ray: Ray {what}: {reason}; {WITHOUT}")


def seats_of(ray: Any, threads: int) -> int:
    """How many workers of so many threads the machines of a cluster can hold, 1 or more."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    return max(1, sum(int(node["Resources"].get("CPU", 0)) // threads for node in alive))


def local_seats(threads: int) -> int:
    """The same of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // threads)


@contextlib.contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
