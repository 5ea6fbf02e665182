"""Where every number comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.figures.text import finite, significant
from nas.report.content import Content
from nas.report.headline import winner_of
from nas.report.markup import MAX_TEXT, Html, tag, text

_MAX_ROWS = 60
_CONFIG_KEYS = (
    *("seed", "data.seed", "training.epochs", "sampler.name", "search.trials", "search.minutes"),
    *("executor.name", "finetune.epochs"),
)


def provenance(content: Content) -> Html:
    """Profile, machine, data, weights, seeds, time per step, the configuration itself."""
    front = content.front
    general = {
        "run": front.run,
        "created": front.created,
        "code version": front.code_version,
        "weights": front.weights,
        "winner chosen by": front.winner_rule,
        "identity of the space": content.space.get("digest"),
    }
    parts = [
        _card("Hardware profile", front.profile),
        _card("Machine", _machine(content)),
        _card("Data", front.data),
        _card("Run", general),
        _card("Seeds and budgets", _chosen(content.config)),
        _card("Time per step", _durations(content.seconds)),
    ]
    rule = tag("p", tag("strong", "What is counted. "), str(front.counting_rule), class_="note")
    made = [tag("div", *[part for part in parts if part], class_="cards"), rule]
    if content.config_text:
        body = tag("pre", text(content.config_text, MAX_TEXT))
        made.append(tag("details", tag("summary", "The whole configuration"), body))
    return tag("div", *made)


def _card(title: str, rows: Mapping[str, Any]) -> Html:
    flat = _flat(rows)[:_MAX_ROWS]
    if not flat:
        return Html("")
    pairs = [tag("tr", tag("th", key, scope="row"), tag("td", value)) for key, value in flat]
    return tag("div", tag("h3", title), tag("table", tag("tbody", *pairs)), class_="card")


def _flat(rows: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for key, value in list(rows.items())[:_MAX_ROWS]:
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            # "versions: torch" would repeat one word on every line.
            made += _flat(value, "" if key == "versions" else f"{name} ")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            made.append((name, _listed(value)))
        elif value not in (None, ""):
            made.append((name, str(value)))
    return made


def _listed(values: Sequence[Any]) -> str:
    shown = " × ".join(str(v) for v in values) if _sizes(values) else None
    return shown or ", ".join(str(value) for value in values[:20]) + (", …" if values[20:] else "")


def _sizes(values: Sequence[Any]) -> bool:
    return len(values) == 2 and all(isinstance(value, int) for value in values)


def _machine(content: Content) -> Mapping[str, Any]:
    winner = winner_of(content.front)
    members = [winner] if winner else list(content.front.members)
    for member in members:
        metric = member.metrics.get("latency_ms")
        machine = metric.source.get("machine") if metric else None
        if isinstance(machine, Mapping):
            return machine
    return {}


def _chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    made = {}
    for path in _CONFIG_KEYS:
        value: Any = config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            made[path] = value
    return made


def _durations(seconds: Mapping[str, Any]) -> dict[str, str]:
    known = {step: finite(value) for step, value in list(seconds.items())[:_MAX_ROWS]}
    made = {step: _time(value) for step, value in known.items() if value is not None}
    total = sum(value for value in known.values() if value is not None)
    return made | {"all": _time(total)} if len(made) > 1 and "total" not in made else made


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{significant(seconds)} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
