"""Contrastive losses on projections of several views, one per module."""
