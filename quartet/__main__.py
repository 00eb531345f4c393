"""Look at your data, use the trained models, change settings, search settings, look at runs, and clean up."""

import typer

from quartet.commands.classify import classify
from quartet.commands.clean import clean
from quartet.commands.draw import draw
from quartet.commands.generate import generate
from quartet.commands.inspect import inspect
from quartet.commands.plan.command import plan
from quartet.commands.predict import predict
from quartet.commands.promote import promote
from quartet.commands.runs import runs
from quartet.commands.score import score
from quartet.commands.search.command import search
from quartet.commands.settings import settings
from quartet.commands.summary import summary
from quartet.commands.sync import sync
from quartet.commands.translate import translate
from quartet.commands.ui import ui
from quartet.commands.use import use
from quartet.commands.verify import verify

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.command()(classify)
app.command()(clean)
app.command()(draw)
app.command()(generate)
app.command()(inspect)
app.command()(plan)
app.command()(predict)
app.command()(promote)
app.command()(runs)
app.command()(score)
app.command()(search)
app.command()(settings)
app.command()(summary)
app.command()(sync)
app.command()(translate)
app.command()(ui)
app.command()(use)
app.command()(verify)

if __name__ == "__main__":
    app(prog_name="python -m quartet")
