"""Errors, files, locks and checks of numbers, used by all other packages."""
