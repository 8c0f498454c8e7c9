"""Quotients of polynomials in kernels whose derivatives are known, and rewriting by them."""
