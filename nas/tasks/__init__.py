"""What a model is trained for: its head, its loss and its metrics. One file per task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from nas.tasks.task import Task

TASKS: Registry[Task] = Registry("task", "nas.tasks")
"""Tasks by name; a new one is one file in this folder."""
