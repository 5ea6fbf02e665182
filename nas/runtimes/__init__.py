"""How a model is run and timed. One file per runtime."""
