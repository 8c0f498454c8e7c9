"""Definite integrals: pieces between the jumps, limits at their ends, rigorous quadrature."""
