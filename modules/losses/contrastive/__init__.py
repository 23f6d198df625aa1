"""Losses of projections of several views, one in each file."""
