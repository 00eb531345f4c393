"""Quartet: four deep-learning families, one reproducible pipeline."""

import os

# OpenMP's threads wait for one another by spinning. Beside any other busy process that costs twentyfold; waiting briefly
# and then sleeping costs little. It is read when torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
