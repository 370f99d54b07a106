"""Tracking: copies what a run records to an MLflow server or to Weights & Biases."""
