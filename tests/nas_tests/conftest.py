"""One tiny finished run for all tests that only look at it."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.cli import main
from tests.nas_tests.tiny_run import command


@pytest.fixture(scope="session", autouse=True)
def _composed_once() -> Iterator[None]:
    # Hydra composes each configuration a first time only to read ``hydra.mode``, which no file
    # of ours and no word of these tests sets; it is then None. Tests of processes do without.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: None)
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(command(folder))
    assert code == 0, said.getvalue()
    return folder


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """``copy_of(folder)``: a copy of a run that may be changed."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / "copies" / folder.name))

    return copy


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``refusal(*words)``: the one line on stderr that a command is refused with."""

    def call(*words: str) -> str:
        capsys.readouterr()
        code = main(words)
        error = capsys.readouterr().err
        assert code == 2, error
        assert error.count("\n") == 1, error
        assert error.startswith("formfinder: ")
        return error.removeprefix("formfinder: ").strip()

    return call
