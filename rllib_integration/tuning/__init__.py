"""Hyper-parameter search over configurations, on Ray Tune."""
