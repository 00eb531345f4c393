"""Colours, fonts and axes that all figures share."""
