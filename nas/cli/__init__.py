"""The console script: ``formfinder``."""

from nas.cli.main import main, split_words

__all__ = ["main", "split_words"]
