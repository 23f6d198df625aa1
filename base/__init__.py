"""What every room stands on: errors, files and locks."""
