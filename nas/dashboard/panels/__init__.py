"""The parts of the page: pure functions from runs and a view to Dash components."""
