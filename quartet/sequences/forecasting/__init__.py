"""Forecasts: continue series by the windows before them."""
