"""Readers of jets, one module a file format; `sciml.jets.data.io` chooses among them."""
