"""Behind the search: the winner, or the whole front, in every format."""

from __future__ import annotations

from pathlib import Path

from nas.display import Display
from nas.export.best import load_model, read_best
from nas.export.exporting import export_formats
from nas.export.package import export_member
from nas.front import Front
from nas.run import Run
from supernet.model import Supernet, extract


def export_front(run: Run, supernet: Supernet, front: Front, display: Display) -> list[Path]:
    """Write the winner's formats, and with ``export.all_front`` those of every other member.

    The winner's ``best.json`` is there already; the others' are written to ``picks/DIGEST/``, each
    with its one look at the test images.

    Returns:
        The folders with the formats.
    """
    targets = [run.folder.best]
    if run.config.export.all_front:
        for member in front.standing():
            if member.digest != front.winner:
                target = run.folder.pick(member.digest)
                model = extract(supernet, member.architecture).eval()
                export_member(run, front, member, model, target, display)
                targets.append(target)
    folders = []
    for target in targets:
        folder = target.parent / "exports"
        display.step(f"Formats: {folder}")
        formats = run.config.export.formats
        export_formats(run, load_model(target), read_best(target), folder, display, formats)
        folders.append(folder)
    return folders
