"""Quartet: four deep-learning families, one reproducible pipeline."""
