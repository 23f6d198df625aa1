"""Errors, atomic file writing and process locks, used by all other packages."""
