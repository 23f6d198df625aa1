"""Metrics, calibration and correction of predictions, and the evidence reported with them."""
