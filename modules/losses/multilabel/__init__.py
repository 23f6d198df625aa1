"""Classification losses of several labels for each sample, one per module."""
