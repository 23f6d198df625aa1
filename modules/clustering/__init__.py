"""Clustering of unit vectors."""
