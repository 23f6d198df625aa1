"""The shipped settings: YAML files, which `--config` takes by their path in this folder."""
