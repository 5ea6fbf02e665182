"""Every extension point by the name it has on the command line, looked up when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from search_spaces.errors import unknown_name
from search_spaces.registry import Registry

# Module and attribute, as text: the registries know their members only after reading their
# folders, and what asks for one kind must not pay for the others.
KINDS: dict[str, tuple[str, str, str]] = {
    "attention": ("supernet.attention", "ATTENTIONS", "token mixers of a layer"),
    "token_reduction": ("supernet.token_reduction", "REDUCTIONS", "fewer tokens on the way"),
    "transition": ("supernet.transition", "TRANSITIONS", "from one stage to the next"),
    "position": ("supernet.position", "POSITIONS", "where positions come from"),
    "embedding": ("supernet.embedding", "EMBEDDINGS", "how patches become tokens"),
    "hardware": ("nas.hardware.device", "DEVICES", "devices to search for"),
    "runtime": ("nas.runtimes.base", "RUNTIMES", "what executes a model there"),
    "objective": ("nas.objectives", "OBJECTIVES", "metrics to search for or to limit"),
    "sampler": ("nas.samplers", "SAMPLERS", "who proposes candidates"),
    "proxy": ("nas.proxies", "PROXIES", "scores of untrained networks"),
    "format": ("nas.export.formats", "FORMATS", "what an exported model is written as"),
    "tracker": ("nas.tracking.tracker", "TRACKERS", "where a run's course is written"),
    "executor": ("nas.executors", "EXECUTORS", "where candidates are evaluated"),
    "predictor": ("nas.predictors.family", "FAMILIES", "what learns latencies"),
    "data": ("nas.data", "SOURCES", "sources of images"),
    "weights": ("supernet.importing.sources", "WEIGHTS", "weights to start from"),
    "task": ("nas.tasks", "TASKS", "what the model is trained for"),
}


def registry(kind: str) -> Registry[Any]:
    """The registry of one extension point; only its own module is imported.

    Raises:
        UserError: there is no such kind.
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    module, attribute, _ = KINDS[kind]
    found: Registry[Any] = getattr(importlib.import_module(module), attribute)
    return found


def names(kind: str) -> list[str]:
    """The names of all members of ``kind``, sorted."""
    return registry(kind).names()


def members(kind: str) -> Iterator[tuple[str, str]]:
    """Name and one-line summary of each member of ``kind``."""
    for member in registry(kind):
        summary = getattr(getattr(member, "card", member), "summary", None)
        if summary is None:  # objectives say it in parts
            summary = f"{member.title}, {member.direction}"
        yield member.name, str(summary)
