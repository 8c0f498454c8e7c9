"""Reports: one self-contained HTML page per run, and the plots that domains share."""

from sciml.report.card import Card, Estimate
from sciml.report.component import Component
from sciml.report.formulas import Formula
from sciml.report.marks import literal
from sciml.report.page import Page

__all__ = ["Card", "Component", "Estimate", "Formula", "Page", "literal"]
