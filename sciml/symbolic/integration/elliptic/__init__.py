"""Elliptic integrals: their reduction to a basis, and normal forms."""
