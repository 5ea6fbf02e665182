"""What every test runs under: one thread, no plug-ins of whoever starts them."""

from __future__ import annotations

import os
import sys

import pytest

# Before torch or numpy are loaded: results are compared bit by bit, and the tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Only where a collected test needs torch: the others must not wait for its import.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORMFINDER_PLUGINS", raising=False)
