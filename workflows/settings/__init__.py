"""Layers of settings: read, merged, checked, listed and explained."""
