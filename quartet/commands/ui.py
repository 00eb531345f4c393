"""`python -m quartet ui`: show the runs in MLflow's UI."""

import os
import socket
import sys
from typing import Annotated

import typer

from quartet.artifacts.errors import BadInput, clear_errors


def ui(
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 5000,
    host: Annotated[str, typer.Option(help="The address to listen on; 127.0.0.1 is reachable only locally.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Serve MLflow's UI for the runs of this repository until interrupted; a tracking server has its own UI."""
    with clear_errors("ui"):
        from quartet.tracking import store

        try:
            store.open_store()
        except store.ExperimentDeletedError as error:  # whoever looks for deleted runs needs the UI
            print(f"warning: {error}", file=sys.stderr, flush=True)
        if store.address().startswith(("http://", "https://")):
            typer.echo(f"MLFLOW_TRACKING_URI is a server, which has its own UI: {store.shown_address()}")
            return
        _refuse_taken(host, port)
        print(f"MLflow UI at http://{host}:{port} (press Ctrl-C to stop)", flush=True)
        # MLflow's runner of jobs, which nothing here uses, takes half a minute to start and to stop.
        os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        # One worker is enough for one user, and starts faster than four.
        command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.address(), "--workers", "1"]
        os.execv(command[0], [*command, "--host", host, "--port", str(port)])  # signals to this process reach MLflow


def _refuse_taken(host: str, port: int) -> None:
    """Raise ValueError if the port is taken: MLflow only logs that, and exits with 0.

    Raises:
        BadInput: there is no such host.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadInput(f"--host: found {host}, which has no address ({error.strerror})") from error
    try:
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        why = error if error.errno is None else os.strerror(error.errno)
        raise ValueError(f"cannot listen on {host}:{port} ({why}); choose another --port") from error
