"""Antiderivatives of elementary functions, and some special functions, of one variable.

In reading order: `api` (`integrate` and `verify`), `search` (the order of the methods),
`rational_functions` (partial fractions: Horowitz-Ostrogradsky, Rothstein-Trager), `ansatz` (the
Risch-like ansatz, parallel or Norman-Risch integration), `dilogarithms` (a rational function times
a logarithm), `radicands` (squares taken out of square roots), `rules` and `algebraic_rules`
(substitutions and integration by parts), `radical_substitutions` (those that make one radical
rational), `shortening` (shorter forms of answers). Every answer is checked by
`sciml.symbolic.verification`.
"""
