"""Sequence models that write antiderivatives, solutions and skeletons of formulas."""
