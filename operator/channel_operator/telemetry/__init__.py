"""Metrics, logs and probes. Decides nothing about channels; rooms below reach it through small protocols."""
