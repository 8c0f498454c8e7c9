"""Contacts and distances from alignments, and families to learn them from."""

from sciml.moved import former

__getattr__ = former(__name__, "network")  # this package was a module in version 0.1
