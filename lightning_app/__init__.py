"""The `lightning` command, with one file for each subcommand."""
