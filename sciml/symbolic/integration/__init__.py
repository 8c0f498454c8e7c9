"""Antiderivatives: rules, substitutions, rational functions, an ansatz of unknown coefficients."""
