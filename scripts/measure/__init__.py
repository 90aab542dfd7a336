"""Measurements: each is run by `python -m scripts.measure.NAME`."""
