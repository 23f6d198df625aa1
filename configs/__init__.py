"""The shipped settings: YAML files that `--config` finds by their path in this folder."""
