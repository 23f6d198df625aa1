"""Losses of logits, one in each file."""
