"""A ``torch.export`` program: the graph as data, run by PyTorch without the project's code.

``torch.export.load`` unpickles what a file marks as pickled: example inputs and tensors of unusual
classes. Ours holds none of these: the graph and the tables are JSON, the weights raw bytes. What is
loaded here is looked through first.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from nas.export.format import Call, Format, Material, module_call
from nas.export.formats import FORMATS
from search_spaces.errors import UserError

# What a file may hold: text, and raw bytes that nothing interprets.
_JSON = re.compile(r"[^/]+/(data/(weights|constants)/[^/]+_config|models/[^/]+)\.json")
_RAW = re.compile(
    r"[^/]+/(data/(weights/weight|constants/tensor)_\d+|archive_(format|version)|byteorder"
    r"|\.data/(version|serialization_id))"
)


def pickles(path: Path) -> list[str]:
    """The parts of a ``.pt2`` file that loading may unpickle, by their names in it.

    Raises:
        UserError: it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not _is_data(name, archive)]
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no torch.export program ({error})") from error


def _is_data(name: str, archive: zipfile.ZipFile) -> bool:
    if _RAW.fullmatch(name) or not archive.getinfo(name).file_size:
        return True
    if not _JSON.fullmatch(name):
        return False
    entries = json.loads(archive.read(name)).get("config", {}).values()
    return not any(entry.get("use_pickle", True) for entry in entries)


@FORMATS.register
class ExportedProgram(Format):
    """Any batch, fp32."""

    name = "torch_export"
    summary = "torch.export program, any batch"
    files = ("model.pt2",)
    runtime = "PyTorch, exported program"

    def write(self, material: Material, folder: Path) -> None:
        """See ``Format.write``."""
        import torch

        example = torch.from_numpy(material.example_BCHW)
        # A batch of one would be taken for a constant.
        example = example if len(example) > 1 else example.repeat(2, 1, 1, 1)
        shapes = ({0: torch.export.Dim("batch", min=1)},)
        with torch.no_grad():
            program: Any = torch.export.export(material.model, (example,), dynamic_shapes=shapes)
        program.example_inputs = None  # the one part of the file that would be a pickle
        torch.export.save(program, folder / self.files[0])
        if pickles(folder / self.files[0]):
            raise RuntimeError(f"{folder / self.files[0]}: holds pickles")

    def open(self, folder: Path, threads: int) -> Call:
        """See ``Format.open``."""
        import torch

        path = folder / self.files[0]
        hidden = pickles(path)
        if hidden:
            raise UserError(f"{path}: holds pickles, which may execute code: {', '.join(hidden)}")
        return module_call(torch.export.load(path).module(), threads)
