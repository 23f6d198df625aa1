"""Subcommands of the `lightning` command."""
