"""Quartet: four deep-learning families, one reproducible pipeline."""

import os

# OpenMP's threads wait for one another by spinning, which beside any other busy process makes a step twenty times
# slower; to spin briefly and then sleep costs little. It is read when torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
