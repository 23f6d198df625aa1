"""What predictions and embeddings say of the classes, as arrays."""
