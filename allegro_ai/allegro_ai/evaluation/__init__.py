"""Closed-loop evaluation with intervals: the only place where success is claimed."""
