"""What a search that relies on proxies says before it starts."""

from __future__ import annotations

from nas.proxies import PROXIES, warning
from nas.run import Run
from nas.run_folder import read_json
from nas.steps.ranking_groups import ALL


def about_proxies(run: Run) -> list[str]:
    """Lines on each proxy among the objectives, the prefilter and the sampler's features: how well
    it ranks here, if that is known, and whether it was built for what it will rank.
    """
    config = run.config
    features = config.sampler.options.get("features", ())
    named = [*config.search.objectives, config.search.prefilter.proxy, *features]
    searched = [PROXIES[name] for name in dict.fromkeys(named) if name in PROXIES]
    types = {setting.op for stage in run.offered.spec.stages for setting in stage.attention}
    known = _taus(run) if searched else {}
    lines = []
    for proxy in searched:
        lines.append(known.get(proxy.name) or _unknown(run, proxy.name))
        strange = warning(proxy, types - set(run.offered.spec.excluded))
        if strange is not None:
            lines.append(f"! {strange}")
    return lines


def _taus(run: Run) -> dict[str, str]:
    assert run.source is not None
    if not run.source.proxies.exists():
        return {}
    rows = read_json(run.source.proxies)["table"]
    return {
        row["proxy"]: f"{row['proxy']}: tau {row['tau']:.2f} [{row['tau_low']:.2f}, "
        f"{row['tau_high']:.2f}] with inherited accuracy, n={row['n']}"
        for row in rows
        if row["group"] == ALL and row["tau"] is not None
    }


def _unknown(run: Run, name: str) -> str:
    assert run.source is not None
    return f"{name} was not compared with accuracy yet: formfinder proxies {run.source.path}"
