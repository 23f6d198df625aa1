"""Training, testing and reporting a run, from settings to files."""
