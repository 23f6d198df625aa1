"""The check of the settings in a checkpoint: they are data, which name known classes and nothing else."""
