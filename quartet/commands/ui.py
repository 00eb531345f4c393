"""`python -m quartet ui`: look at the runs in MLflow's UI."""

import subprocess
import sys
from typing import Annotated

import typer


def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 5000) -> None:
    """Serve MLflow's UI over the runs of this repository, on 127.0.0.1, until interrupted."""
    from quartet.tracking import store

    store.open_store()
    print(f"MLflow UI at http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.address()]
    raise typer.Exit(subprocess.call([*command, "--host", "127.0.0.1", "--port", str(port)]))
