"""Figures and the HTML report. Only this package imports matplotlib."""
