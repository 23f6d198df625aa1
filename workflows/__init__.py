"""From settings to a trained, tested and reported run."""
