"""Statistics of classes, computed from predictions and embeddings."""
