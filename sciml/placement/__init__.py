"""Circuit placement."""
