"""One front from several runs: other seeds, samplers or devices over the same space and data.

Members keep where they come from. Fronts of different profiles stay apart: a latency never crosses
profiles, nor machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.choosing import choose
from nas.config import load_config
from nas.display import Display
from nas.front import Front, Member
from nas.hardware.machine import now
from nas.objectives import OBJECTIVES, read_limits
from nas.pareto import non_dominated
from nas.run_folder import RunFolder, read_json, write_json
from nas.version import code_version
from search_spaces.errors import UserError, writing

SEVERAL = "several"


@dataclass(frozen=True)
class Source:
    """One front that is merged.

    Attributes:
        folder: of its run, and its profile where that has several.
        front: verified.
        space: content of ``space.json``.
        seed: of the run.
    """

    folder: RunFolder
    front: Front
    space: Mapping[str, Any]
    seed: int

    @property
    def key(self) -> str:
        """Of the hardware profile."""
        return str(self.front.profile["key"])

    @property
    def processors(self) -> set[str]:
        """What its latencies were measured on."""
        sources = [m.metrics["latency_ms"].source for m in self.front.members]
        return {str(source.get("machine", {}).get("processor", "unknown")) for source in sources}


def merge_runs(paths: Sequence[Path], target: Path, display: Display | None = None) -> RunFolder:
    """Merge the verified fronts of runs, and write ``front.json`` and ``report.html``.

    Args:
        paths: run folders.
        target: folder of the merged front; one for each profile where there are several.
        display: where to say what came of it.

    Returns:
        The target.

    Raises:
        UserError: a run is not finished, or of another space, data split or machine; or the
            target is a run itself.
    """
    display = display or Display()
    sources = [source for path in paths for source in read_sources(path)]
    _check_alike(sources)
    folder = RunFolder(target)
    if folder.config.exists():
        raise UserError(f"{target}: is a run; give the merged front another name=...")
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(source.key, []).append(source)
    parts = _parts(target, groups)
    fronts = [_merged(part, group) for part, group in zip(parts, groups.values(), strict=True)]
    write_json(folder.space, sources[0].space)
    from nas.report.overview import write_overview  # plotly is slow to import
    from nas.report.write import write_report

    for part, front in zip(parts, fronts, strict=True):
        front.save(part.front)
        with writing(part.report):
            write_report(part)
        _say(part, front, display)
    if len(parts) > 1:
        with writing(folder.report):
            write_overview(folder, parts)
    display.step(f"Report: {folder.report}")
    return folder


def read_sources(path: Path) -> list[Source]:
    """The verified fronts of a run.

    Raises:
        UserError: there is none, or the folder is itself merged.
    """
    folder = RunFolder.at(path)
    if not folder.config.exists() and any(part.front.exists() for part in folder.parts()):
        raise UserError(f"{path}: was merged itself; name the runs it was merged from")
    seed = load_config(folder.config).seed
    found = []
    for part in folder.parts():
        if not part.front.exists():
            raise UserError(f"{path}: has no front yet; call formfinder run {path} first")
        found.append(Source(part, Front.load(part.front), read_json(folder.space), seed))
    return found


def _check_alike(sources: Sequence[Source]) -> None:
    first = sources[0]
    seen: dict[str, Source] = {}
    for source in sources:
        pairs = (
            ("another space", first.space["digest"], source.space["digest"]),
            ("another data split", first.front.data["digest"], source.front.data["digest"]),
            ("other objectives", _names(first.front), _names(source.front)),
        )
        for what, wanted, found in pairs:
            if wanted != found:
                raise UserError(
                    f"{source.folder.path}: was searched on {what} than {first.folder.path}: "
                    f"{found} instead of {wanted}; such fronts cannot be merged"
                )
        same = seen.setdefault(source.key, source)
        if same.processors != source.processors:
            raise UserError(
                f"{source.folder.path}: its latencies were measured on another machine than those "
                f"of {same.folder.path}: {_listed(source)} instead of {_listed(same)}; such fronts "
                "cannot be merged"
            )


def _names(front: Front) -> str:
    return ", ".join(str(objective["name"]) for objective in front.objectives)


def _listed(source: Source) -> str:
    return ", ".join(sorted(source.processors))


def _parts(target: Path, groups: Mapping[str, Sequence[Source]]) -> list[RunFolder]:
    if len(groups) == 1:
        return [RunFolder(target)]
    names = [str(group[0].front.profile["name"]) for group in groups.values()]
    if len(set(names)) < len(names):  # one name for other settings
        names = list(groups)
    return [RunFolder(target, name) for name in names]


def _merged(folder: RunFolder, sources: Sequence[Source]) -> Front:
    best: dict[str, Member] = {}
    for source in sources:
        for member in source.front.standing():
            known = best.get(member.digest)
            if known is None or member.value("accuracy") > known.value("accuracy"):
                best[member.digest] = replace(member, origin=_origin(source, member))
    first = sources[0].front
    objectives = [OBJECTIVES[str(objective["name"])] for objective in first.objectives]
    members = sorted(best.values(), key=lambda m: -m.value("accuracy"))
    values = [[m.value(o.name) for o in objectives] for m in members]
    standing = non_dominated(values, [o.direction for o in objectives])
    top = members[0].metrics["accuracy"]
    marked = tuple(
        # Without the images, overlapping intervals are what says that two cannot be told apart.
        replace(
            member,
            dominated=not bool(stands),
            tied=(member.metrics["accuracy"].high or 0.0) >= (top.low or top.value),
        )
        for member, stands in zip(members, standing, strict=True)
    )
    alike = all(source.front.limits == first.limits for source in sources)
    limits = dict(first.limits) if alike else {}
    read = [limit for name, v in limits.items() for limit in read_limits(OBJECTIVES[name], v)]
    rule, winner = choose(read, objectives, [member for member in marked if not member.dominated])
    weights = {source.front.weights for source in sources}
    return replace(
        first,
        run=folder.title,
        created=now(),
        code_version=code_version(),
        weights=weights.pop() if len(weights) == 1 else SEVERAL,
        limits=limits,
        members=marked,
        winner=winner.digest,
        winner_rule=rule,
        front_error={},
    )


def _origin(source: Source, member: Member) -> dict[str, Any]:
    origin = {
        "run": source.folder.title,
        "path": str(source.folder.path),
        "seed": source.seed,
        "weights": source.front.weights,
        "profile": source.key,
        "trial": member.trial,
    }
    return origin | ({"device": source.folder.device} if source.folder.device else {})


def _say(folder: RunFolder, front: Front, display: Display) -> None:
    counts: dict[str, int] = {}
    for member in front.standing():
        run = str(member.origin["run"])
        counts[run] = counts.get(run, 0) + 1
    display.step(f"Front of {folder.title}: {front.profile['key']}")
    display.line(f"{len(front.standing())} members stand, {len(front.members)} were compared")
    for run, count in counts.items():
        display.line(f"{run}: {count}")
    winner = front.member(front.winner)
    display.line(
        f"winner by {front.winner_rule}: {winner.digest} of {winner.origin['run']}, accuracy "
        f"{winner.value('accuracy'):.4f}, {winner.value('latency_ms'):.3f} ms"
    )
    from nas.report.commands import next_commands

    for command in next_commands(folder, front):
        display.line(f"# {command.why}")
        display.line(command.line)
