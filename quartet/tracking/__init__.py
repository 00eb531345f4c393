"""MLflow runs linked to DVC; nothing else imports mlflow."""
