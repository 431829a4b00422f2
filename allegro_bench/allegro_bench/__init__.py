"""Latency, energy, carbon and quality of policy inference at the control rate."""
