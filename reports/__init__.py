"""Reports and comparisons of finished runs, as HTML pages and W&B panels."""
