"""Scores of classifiers, whatever they read: predictions, confusion files, reliability, mistakes."""
