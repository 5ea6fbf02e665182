"""``formfinder retrain``: one model of a finished run, trained alone and exported again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.config import RunConfig, load_config
from nas.config.retraining import RetrainConfig
from nas.display import Display
from nas.export.best import load_model, read_best
from nas.export.package import export_member
from nas.front import Front, Member
from nas.retraining.session import Session
from nas.run import Run
from nas.run_folder import DEVICES, RunFolder
from search_spaces.errors import UserError, bad_value, unknown_name
from supernet.extract import VisionTransformer, build_model


@dataclass(frozen=True, slots=True)
class Start:
    """What a retraining begins with.

    Attributes:
        run: the run, its search of the profile meant.
        front: its verified front.
        member: the model's place on it.
        model: standalone, in eval mode.
        passes: what was done to the weights before.
    """

    run: Run
    front: Front
    member: Member
    model: VisionTransformer
    passes: tuple[dict[str, Any], ...]


def retrain(config: RunConfig) -> Path:
    """Train one model alone on train, choose its epoch on val, test it once, export it.

    The same command continues where it was stopped, and prints the result where it was not.

    Returns:
        Its ``best.json``, in ``retrained/DIGEST/`` of the run.

    Raises:
        UserError: there is nothing to retrain, or the teacher does not fit; nothing was written.
        NonFiniteLossError: the loss is no number; the last epoch's checkpoint is kept.
    """
    display = Display(config.progress)
    start = _start(config)
    session = Session(start.run, start.model, config.retrain, display)
    target = session.folder / "best.json"
    teacher = session.teacher()  # refused before anything is said or written
    display.step(f"Retrain {start.member.digest}: {session.folder}")
    done = session.train(teacher)
    passes = [*start.passes, done]
    data = export_member(start.run, start.front, start.member, start.model, target, display, passes)
    _summarise(data, target, display)
    return target


def _start(config: RunConfig) -> Start:
    folder = RunFolder.at(Path(str(config.run)).expanduser().resolve())
    stored = load_config(RunFolder(folder.path).config)
    stored.out_dir, stored.name = str(folder.path.parent), folder.path.name
    stored.device = config.device
    run = _search_of(Run(stored, write=False), config, folder)
    path = run.folder.best if config.retrain.model is None else Path(config.retrain.model)
    if config.retrain.model is not None and not path.is_file():
        raise UserError(f"retrain.model={config.retrain.model!r}: no such file")
    if not path.exists():
        raise UserError(f"{path}: nothing to retrain yet; call formfinder run {folder.path} first")
    best = read_best(path)
    front = Front.load(run.folder.front)
    member = front.member(best["digest"])
    if config.retrain.weights == "scratch":
        model, passes = _fresh(run, member, config.retrain), ()
    else:
        model, passes = load_model(path), tuple(best["passes"])
    return Start(run, front, member, model, passes)


def _fresh(run: Run, member: Member, config: RetrainConfig) -> VisionTransformer:
    """Random weights that depend on the seed alone."""
    import torch

    state = torch.get_rng_state()
    torch.manual_seed(run.config.seed if config.seed is None else config.seed)
    try:
        return build_model(member.architecture, run.num_classes)
    finally:
        torch.set_rng_state(state)


def _search_of(run: Run, config: RunConfig, folder: RunFolder) -> Run:
    """The search that the model is of, in a run for several profiles."""
    searches = {one.profile.name: one for one in run.searches}
    if len(searches) == 1:
        return next(iter(searches.values()))
    name = folder.device or _device_of(config.retrain.model, folder.path)
    if name is None and len(config.hardware) == 1:
        name = next(iter(config.hardware))
    if name is None:
        raise bad_value("hardware", f"[{','.join(config.hardware)}]", f"one of {[*searches]}")
    if name not in searches:
        raise unknown_name("hardware", name, searches)
    return searches[name]


def _device_of(model: str | None, run: Path) -> str | None:
    """The profile in the path of a ``best.json``."""
    if model is None or not Path(model).resolve().is_relative_to(run):
        return None
    parts = Path(model).resolve().relative_to(run).parts
    return parts[1] if len(parts) > 2 and parts[0] == DEVICES else None


def _summarise(best: dict[str, Any], target: Path, display: Display) -> None:
    metrics, done = best["metrics"], best["passes"][-1]
    display.step(f"{target}")
    rows = []
    for label, name in (
        ("accuracy", "accuracy"),
        ("balanced accuracy", "balanced_accuracy"),
        ("macro F1", "macro_f1"),
    ):
        if f"test_{name}" in metrics and f"val_{name}" in metrics:
            rows.append(
                (label, *(f"{metrics[f'{s}_{name}']['value']:.4f}" for s in ("val", "test")))
            )
    display.table("", ("", "val", "test"), rows)
    test = metrics["test_accuracy"]
    display.prose(
        f"95 % interval on test [{test['low']:.3f}, {test['high']:.3f}], {test['n']} images; "
        f"val before {done['val_before']:.4f}, epoch {done['kept_epoch']} of {done['epochs']} kept"
    )
