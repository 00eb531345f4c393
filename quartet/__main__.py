"""What people do with the pipeline beside running it: `python -m quartet --help`."""

import typer

from quartet.commands.settings import settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.command()(settings)


@app.callback()
def _commands() -> None:
    """Keeps `settings` a named command while it is the only one."""


if __name__ == "__main__":
    app(prog_name="python -m quartet")
