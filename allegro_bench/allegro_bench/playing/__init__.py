"""A recording played again: which message is due when, and where it goes."""
