"""Evaluation: metrics, calibration, the baseline and the reports. No torch."""
