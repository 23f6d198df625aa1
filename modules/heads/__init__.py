"""Classification heads, which map embeddings to logits."""
