"""Expressions: their type, calculus, numbers, printing and reading."""
