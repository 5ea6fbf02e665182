"""The tab on images: filled by a process of its own, because it needs torch."""

from __future__ import annotations

from typing import Any

from dash import Dash

from nas.dashboard.jobs import Jobs
from nas.dashboard.state import State as Runs


def register(app: Dash, runs: Runs, jobs: Jobs) -> None:
    """Add the callbacks."""
    _: Any = (app, runs, jobs)
