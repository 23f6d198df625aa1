"""Grids of runs, their statistics, and searches for settings."""
