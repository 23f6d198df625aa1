"""Clustering of unit vectors: k-means with and without bounded cluster sizes."""
