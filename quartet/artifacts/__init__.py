"""Paths, downloads, atomic writes, and models on disk."""
