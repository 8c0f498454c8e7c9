"""How good a predicted structure or contact map is."""
