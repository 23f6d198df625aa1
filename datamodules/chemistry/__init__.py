"""Molecules and proteins as integer arrays."""
