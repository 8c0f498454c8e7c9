"""Readers of jets, one module per file format; `sciml.jets.data.io` chooses among them."""
