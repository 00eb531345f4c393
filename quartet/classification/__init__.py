"""Evaluation of classifiers of any input: predictions, scores, confusion matrices, calibration, mistakes."""
