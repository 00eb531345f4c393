"""`python -m quartet ui`: look at the runs in MLflow's UI."""

import os
import socket
import sys
from typing import Annotated

import typer

from quartet.artifacts.errors import clear_errors


def ui(
    port: Annotated[int, typer.Option(help="Where it answers.", min=1, max=65535)] = 5000,
    host: Annotated[str, typer.Option(help="The address that it listens on; 127.0.0.1 is this machine alone.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Serve MLflow's UI over the runs of this repository until interrupted; a server of runs has a UI of its own."""
    with clear_errors("ui"):
        from quartet.tracking import store

        store.open_store()
        if store.address().startswith(("http://", "https://")):
            typer.echo(f"MLFLOW_TRACKING_URI names a server, whose own UI has the runs: {store.address()}")
            return
        _refuse_taken(host, port)
        print(f"MLflow UI at http://{host}:{port} (Ctrl-C ends it)", flush=True)
        # One worker is enough for one user, and spares the imports of three more.
        command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.address(), "--workers", "1"]
        os.execv(command[0], [*command, "--host", host, "--port", str(port)])  # what ends this process ends MLflow


def _refuse_taken(host: str, port: int) -> None:
    """MLflow itself says so among its logs and ends as if all were well."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    try:
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        why = error if error.errno is None else os.strerror(error.errno)
        raise ValueError(f"{host}:{port} cannot be listened on ({why}); choose another --port") from error
