"""`python -m quartet sync`: send to MLflow what stages logged while it did not answer."""

import typer

from quartet.artifacts.errors import clear_errors


def sync() -> None:
    """Send the runs that MLflow does not have yet, or not as a whole; exits with 1 if it still does not answer."""
    with clear_errors("sync"):
        from quartet.tracking import store
        from quartet.tracking.journal import unsent
        from quartet.tracking.sending import send_all

        journals = unsent()
        if not journals:
            typer.echo("MLflow has every run")
            return
        store.prepare()
        for journal in journals:
            if not journal.is_over():
                typer.echo(f"{journal.id}: its stage is still running")
                continue
            try:
                run_id = send_all(journal)
            except Exception as error:  # databases, their drivers and servers raise exceptions of many types
                raise store.TrackingUnreachableError(f"{store.failure(error)}; {journal.id} stays for later") from error
            typer.echo(f"{journal.id}: sent to run {run_id}" if run_id else f"{journal.id}: another process sends it")
