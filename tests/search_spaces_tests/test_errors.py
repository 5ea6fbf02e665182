"""Errors in one line."""

from __future__ import annotations

from pathlib import Path

from search_spaces.errors import no_folder


def test_a_folder_that_is_none_is_told_from_one_that_is_misspelt(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "note.txt").write_text("")
    assert (
        str(no_folder("data.path", tmp_path / "note.txt")) == "data.path: is a file, not a folder"
    )
    misspelt = str(no_folder("data.path", tmp_path / "fotos"))
    assert misspelt == f"data.path: no such folder; did you mean {str(tmp_path / 'photos')!r}?"
    assert str(no_folder("data.path", tmp_path / "x" / "y")) == "data.path: no such folder"
