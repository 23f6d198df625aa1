"""Reading, merging, checking and listing settings."""
