"""Policies that place macros: environment, networks, imitation, tree search."""
