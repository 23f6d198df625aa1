"""Samples with several labels: metrics, thresholds and calibration."""
