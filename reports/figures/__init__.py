"""Figures as JSON of Plotly."""
