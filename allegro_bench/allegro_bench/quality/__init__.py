"""Does the grasp still succeed in that backend, at that speed: open-loop check, closed-loop gate, cost per success."""
