"""Every figure of the book, drawn from records and results; one look for all (see ``style``)."""

from lib.figures.style import PALETTE, banner, provenance, style

__all__ = ["PALETTE", "banner", "provenance", "style"]
