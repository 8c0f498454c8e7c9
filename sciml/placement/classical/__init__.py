"""Placement without learning: annealing, electrostatic global placement, legal rows."""
