"""What every test runs under: one thread, no plug-ins of whoever starts them."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest

# Before torch or numpy are loaded: results are compared bit by bit, and the tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts us in the background has Ctrl-C ignored, here and in what we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Where no byte code is kept, compiling torch and its kind anew is what most processes would do.
# So it is kept after all, but in a place that is ours.
if sys.dont_write_bytecode and sys.pycache_prefix is None:
    kept = Path(__file__).resolve().parent.parent / ".pytest_cache" / "byte_code"
    sys.pycache_prefix, sys.dont_write_bytecode = str(kept), False
    os.environ["PYTHONPYCACHEPREFIX"] = str(kept)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    # Half a million objects of modules live to the end: no collection needs to walk them again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or libraries find their objects alive at the end, and complain


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Only where a collected test needs torch: the others must not wait for its import.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORMFINDER_PLUGINS", raising=False)
