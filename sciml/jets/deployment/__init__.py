"""Taggers outside Python: graphs that take raw four-momenta, for C++, Triton and torch.export."""
