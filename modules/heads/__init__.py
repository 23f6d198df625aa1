"""Layers from embeddings to logits."""
