"""Grasp policies for Allegro Hands: tasks, training, evaluation, policy bundles and the policy node."""
