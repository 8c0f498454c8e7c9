"""Limits, series, sums, products, equations and transforms: SymPy computes in the worker process,
and an answer is given only after a check that does not use the way it was found.

Modules: `api` (the functions), `limits`, `series`, `sums`, `equations`, `transforms`; `running`
chooses among them, `examples` puts numbers for symbols.
"""
