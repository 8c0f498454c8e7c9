"""Networks from the constituents of a jet to an answer."""

from sciml.moved import former

__getattr__ = former(__name__, "classifier")  # this package was a module in version 0.1
