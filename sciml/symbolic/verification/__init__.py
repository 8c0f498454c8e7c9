"""Is F an antiderivative of f? Proofs, points, and what is said of an answer."""
