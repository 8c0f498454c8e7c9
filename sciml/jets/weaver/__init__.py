"""The file formats of weaver-core: data configs and checkpoints."""

from sciml.moved import former

__getattr__ = former(__name__, "checkpoints")  # this package was a module in version 0.1
