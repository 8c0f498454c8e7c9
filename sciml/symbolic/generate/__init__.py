"""Random problems with their solutions, compiled."""

from sciml.moved import former

__getattr__ = former(__name__, "problems")  # this package was a module in version 0.1
