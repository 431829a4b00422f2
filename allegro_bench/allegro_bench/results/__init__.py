"""Results of benchmark runs: written, read, computed again, compared and shown."""
