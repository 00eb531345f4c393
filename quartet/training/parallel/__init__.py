"""Data-parallel training: several processes, each with its share of every batch, and the same network in all."""
