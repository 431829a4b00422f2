"""Measuring one policy in several inference backends at its control rate: what ``allegro-bench run`` does."""
