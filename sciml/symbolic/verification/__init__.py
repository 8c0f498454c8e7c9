"""Verification of antiderivatives: numerical checks at random points, then proofs of F' = f.

In reading order: `result` (the statuses of an answer), `sample_points` (where two functions are
compared), `checking` (numerical verification at random points; `check` and `prove`),
`sign_conditions`, `principal_values` and `normal_form` (an expression as a quotient of polynomials
in one case of signs: the choice of branches), `root_isolation`, `zero_test` and `proving` (a proof
in every such case), `jumps` (spurious discontinuities of an antiderivative).
"""
