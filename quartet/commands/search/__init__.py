"""`python -m quartet search`: search settings with Optuna; each trial is a DVC experiment."""
