"""What is measured and said of a trained model's outputs."""
