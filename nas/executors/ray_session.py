"""Starting Ray, quietly and locally, or joining a cluster. Ray is imported here and nowhere before.

Traps that are handled: a driver started by ``uv run`` makes Ray start every worker through uv;
workers put the driver's working directory first on ``sys.path``, so a user's own folder ``nas/``
would shadow the package; glibc gives large activations back to the system after each call.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.executors.executor import ExecutorOptions
from search_spaces.errors import UserError
from search_spaces.registry import PLUGINS_VARIABLE, plugin_folders

OBJECT_STORE_BYTES = 200 * 10**6
WITHOUT = "executor=in_process runs without Ray"

# Read by Ray when it is imported or started. A user's own setting wins.
_DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


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


def import_ray(address: str | None) -> Any:
    """The module ``ray``.

    Raises:
        UserError: it is not installed, or broken.
    """
    for name, value in _DRIVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is None:
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(f"executor=ray: Ray cannot be imported ({error}); {WITHOUT}") from error
    return ray


def start(options: ExecutorOptions, folder: Path) -> tuple[Any, bool]:
    """Start a local Ray or join the cluster at ``options.address``.

    Args:
        options: workers and threads.
        folder: made the working directory for the start, and so the workers'; it must hold no
            Python packages.

    Returns:
        The module, and whether this call started it. Where the process already has a Ray, that
        one is used.

    Raises:
        UserError: Ray cannot be imported, started or joined.
    """
    ray = import_ray(options.address)
    if ray.is_initialized():
        return ray, False
    arguments: dict[str, Any] = {"address": options.address or "local"}
    if options.address is None:
        # ``None`` would join any cluster that happens to run on this machine.
        arguments |= {
            "num_cpus": worker_count(options, None),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
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
        what = f"cannot join {options.address}" if options.address else "cannot start"
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"executor=ray: Ray {what}: {reason}; {WITHOUT}") from error
    return ray, True


def worker_count(options: ExecutorOptions, ray: Any | None) -> int:
    """As asked for, else one per core of the cluster, or of this machine."""
    if options.workers is not None:
        return options.workers
    if ray is not None:
        return max(1, int(ray.cluster_resources().get("CPU", 1)))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
