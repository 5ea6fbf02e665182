"""What a ranking of proxies looks like on the terminal and as files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from nas.display import Display
from nas.proxies import PROXIES
from nas.proxies.maths.agreement import Agreement
from nas.run_folder import RunFolder, write_json, write_text
from nas.steps.ranking import Ranked, Ranking
from nas.steps.ranking_groups import ALL
from nas.version import code_version

PER_TABLE = 4  # groups that stand side by side in 80 columns
MEASURES = ("tau", "rho")


def show_ranking(ranking: Ranking, display: Display) -> None:
    """Print the tables: all architectures, then each attention type by itself."""
    whole = sorted(
        (r for r in ranking.table if r.group == ALL), key=lambda r: _order(r.tau), reverse=True
    )
    rows = [
        (r.proxy, _number(r.tau.value), _span(r.tau), _number(r.rho.value), _span(r.rho),
         f"{1e3 * r.seconds:.1f}")
        for r in whole
    ]  # fmt: skip
    display.console.print()
    display.table(
        f"Agreement with inherited val accuracy, {whole[0].n} random architectures",
        ("proxy", "tau", "95 %", "rho", "95 %", "ms"),
        rows,
    )
    order = [r.proxy for r in whole]
    others = [group for group in ranking.groups if group != ALL]
    for start in range(0, len(others), PER_TABLE):
        _show_groups(ranking, others[start : start + PER_TABLE], order, display)
    display.line("tau: Kendall's, rho: Spearman's, 1 where a proxy orders as accuracy does;")
    display.line("ms: to score one architecture")
    for line in dict.fromkeys(r.warning for r in whole if r.warning):
        display.line(f"! {line}")


def _show_groups(
    ranking: Ranking, groups: Sequence[str], order: Sequence[str], display: Display
) -> None:
    cells = {(r.proxy, r.group): r for r in ranking.table}
    rows = [(name, *(_cell(cells[name, group]) for group in groups)) for name in order]
    display.console.print()
    display.table("Kendall's tau within one attention type", ("proxy", *groups), rows)


def _cell(ranked: Ranked) -> str:
    tau = ranked.tau
    if math.isnan(tau.value):
        return "–"
    mark = "!" if ranked.warning else " "
    half = f"{(tau.high - tau.low) / 2:.2f}".removeprefix("0")
    return f"{tau.value:.2f} ±{half}{mark}"


def _order(agreement: Agreement) -> float:
    return -math.inf if math.isnan(agreement.value) else agreement.value


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _span(agreement: Agreement) -> str:
    if math.isnan(agreement.value):
        return ""
    return f"[{agreement.low:.2f}, {agreement.high:.2f}]"


def write_ranking(ranking: Ranking, folder: RunFolder) -> None:
    """``proxies.json``: the table and every score; ``proxies.csv``: the table.

    Raises:
        UserError: a file cannot be written.
    """
    rows = [_flat(ranked) for ranked in ranking.table]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder.proxies.with_suffix(".csv"), text.getvalue())
    write_json(
        folder.proxies,
        {
            "weights": ranking.weights,
            "split": ranking.split,
            "images": ranking.images,
            "code_version": code_version(),
            "proxies": {p.name: p.source for p in PROXIES if p.name in {r["proxy"] for r in rows}},
            "table": rows,
            "groups": {group: list(members) for group, members in ranking.groups.items()},
            "architectures": [architecture.digest() for architecture in ranking.architectures],
            "accuracy": ranking.accuracy_N.tolist(),
            "scores": {name: column.tolist() for name, column in ranking.scores.items()},
        },
    )


def _flat(ranked: Ranked) -> dict[str, Any]:
    made: dict[str, Any] = {"group": ranked.group, "proxy": ranked.proxy, "n": ranked.n}
    for name in MEASURES:
        agreement: Agreement = getattr(ranked, name)
        for part in ("value", "low", "high"):
            value = getattr(agreement, part)
            key = name if part == "value" else f"{name}_{part}"
            made[key] = round(value, 6) if math.isfinite(value) else None
    return made | {"seconds": round(ranked.seconds, 6), "warning": ranked.warning}
