"""Random problems with their solutions, compiled.

`arena` holds expressions as rows of an array, `arena_products`, `arena_calculus` and `arena_text`
work on them; `trees` draws random functions, `integrals` and `equations` make problems of them,
`problems` streams and writes them; `problem_files` reads problems back; `uncompiled` is the plain
BWD.
"""

from sciml.moved import former

__getattr__ = former(__name__, "problems")  # this package was a module in version 0.1
