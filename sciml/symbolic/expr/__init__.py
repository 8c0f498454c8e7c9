"""Expressions: their type, calculus, numerical values, parsing and printing.

`expression` is the type (`rational`: exact powers of numbers), `calculus` differentiates,
`evaluate` and `intervals` give numbers and enclosures. `parser` reads infix text, `latex` LaTeX,
and `latex_integral` integrals, with what they share in `reading`, `symbols` and
`derivative_notation`; `tokens` is the prefix notation of sequence models, `wire` the one between
processes. `printing` writes infix text, LaTeX and SymPy. Special functions have files of their own:
`special_functions` (names and simplifications), `special_values`, `special_derivatives`,
`special_reading`, `latex_special`, `special_printing`.
"""
