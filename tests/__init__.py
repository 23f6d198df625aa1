"""Tests, as a package, since a library installs one of the same name that would hide the folder."""
