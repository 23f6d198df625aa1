"""Classification losses on logits, one per module."""
