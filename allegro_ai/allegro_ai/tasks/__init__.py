"""Tasks: what a policy is trained and judged on, run on the suite's own simulated hand."""
