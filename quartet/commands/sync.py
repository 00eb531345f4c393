"""`python -m quartet sync`: send to MLflow what stages logged while it did not answer."""

import typer

from quartet.artifacts.errors import clear_errors


def sync() -> None:
    """Send the runs that MLflow does not have yet, or not as a whole; exits with 1 if it still does not answer."""
    with clear_errors("sync"):
        from quartet.tracking import store
        from quartet.tracking.journals import damaged, unsent
        from quartet.tracking.sending import send_each

        journals, failures = unsent(), [f"{each.folder}: nothing in it is whole; remove it" for each in damaged()]
        if not journals and not failures:
            typer.echo("MLflow has every run")
            return
        store.prepare()
        running = [journal for journal in journals if not journal.is_over()]
        for journal in running:
            typer.echo(f"{journal.id}: its stage is still running")
        for journal, run_id, error in send_each(journal for journal in journals if journal not in running):
            if error is None:
                typer.echo(
                    f"{journal.id}: sent to run {run_id}" if run_id else f"{journal.id}: another process sends it"
                )
            else:
                failures.append(f"{store.failure(error)}; {journal.id} stays for later")
        if failures:
            raise store.TrackingUnreachableError("\n".join(failures))
