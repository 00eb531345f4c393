"""MLflow runs that are linked to DVC. Only this package imports mlflow."""
