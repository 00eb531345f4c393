"""The pipeline's verbs, one Typer script per DVC stage."""
