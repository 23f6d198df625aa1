"""Figures as Plotly's JSON."""
