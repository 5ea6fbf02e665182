"""Hydra configuration, packaged so that the installed console script finds it."""
