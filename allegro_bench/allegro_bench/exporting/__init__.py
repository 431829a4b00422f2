"""Packs: a workload and what measures it, for machines that have Python, numpy and an engine and no suite."""
