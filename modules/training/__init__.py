"""Parts of the training procedure that are used by choice: contrast, views, mixing, distillation and stages."""
