"""`python -m quartet search`: Optuna proposes settings, each trial is a DVC experiment."""
