"""Figures: pure functions from run data to plotly figures, shared by report and dashboard."""
