"""Benchmarks of speed and quality against other libraries, side by side in one run."""
