"""Reports: one self-contained HTML page per run, and the plots that domains share."""

from sciml.report.page import Page, literal

__all__ = ["Page", "literal"]
