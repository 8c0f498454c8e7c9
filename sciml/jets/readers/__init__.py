"""Readers of jets, one module a file format; `sciml.jets.io` chooses among them."""
