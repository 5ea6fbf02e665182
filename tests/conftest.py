"""What every test runs under: one thread, no plug-ins of whoever starts them."""

from __future__ import annotations

import os
import signal
import sys

import pytest

# Before torch or numpy are loaded: results are compared bit by bit, and the tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts us in the background has Ctrl-C ignored, here and in what we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Only where a collected test needs torch: the others must not wait for its import.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORMFINDER_PLUGINS", raising=False)
