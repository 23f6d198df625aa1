"""Samples of a report: which are drawn, what the model says of them, and how they look."""
