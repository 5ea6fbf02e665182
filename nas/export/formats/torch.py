"""Plain PyTorch: one readable Python file and its weights, without this project."""

from __future__ import annotations

import sys
import types
from pathlib import Path

from nas.export.format import Call, Format, Material, module_call
from nas.export.formats import FORMATS
from nas.run_folder import write_text

SOURCE, WEIGHTS = "model.py", "model.safetensors"


@FORMATS.register
class Torch(Format):
    """The operators' own source, specialised to this model."""

    name = "torch"
    summary = "one readable model.py, needs torch and safetensors only"
    files = (SOURCE, WEIGHTS)
    runtime = "PyTorch"

    def write(self, material: Material, folder: Path) -> None:
        """See ``Format.write``."""
        from nas.export.standalone.write import standalone_source
        from supernet.training.checkpoint import save_tensors

        write_text(folder / SOURCE, standalone_source(material.model, material.best))
        save_tensors(folder / WEIGHTS, material.model.state_dict(), {"format": "pt"})

    def open(self, folder: Path, threads: int) -> Call:
        """See ``Format.open``; for files just written: it executes them."""
        module = types.ModuleType("formfinder_model")
        code = compile((folder / SOURCE).read_text(encoding="utf-8"), SOURCE, "exec")
        sys.modules[module.__name__] = module  # where dataclasses look for their module
        try:
            exec(code, module.__dict__)
            return module_call(module.load(str(folder / WEIGHTS)), threads)
        finally:
            del sys.modules[module.__name__]
