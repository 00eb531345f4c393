"""`python -m quartet score FILE`: how likely a text is under the trained language model."""

from pathlib import Path
from typing import Annotated

import typer

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, clear_errors
from quartet.commands.language_model import trained_generator
from quartet.commands.outputs import refuse_table


def score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A text file, which may be packed.")],
    out: Annotated[
        Path | None, typer.Option(help="A CSV file for the table of all lines; without, it is printed.")
    ] = None,
) -> None:
    """Print bits per byte and perplexity of a text under the model, and a table of its lines."""
    with clear_errors("score"):
        if out:
            refuse_table(out, file)
        import math

        import torch

        from quartet.artifacts.writing import write_table
        from quartet.datasets.reading.text_files import lines_of
        from quartet.language.line_scores import line_scores
        from quartet.language.scoring import word_perplexity

        generator = trained_generator()
        if generator.translator is not None:
            raise BadInput(f"{paths.model('lm')}: was trained on pairs; a text by itself has no probability under it")
        lines = list(lines_of(file))
        if not lines:
            raise BadInput(f"{file}: has no text")
        table = line_scores(generator.network, generator.tokenizer, lines, torch.device("cpu"))
        nats, tokens = table.nats.sum(), table.tokens.sum()
        table = table.drop(columns="nats").round(4)
        if out:
            write_table(out, table)
        else:
            typer.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
        per_word = word_perplexity(nats, "".join(lines))
        typer.echo(
            f"{file}: {nats / math.log(2) / table.bytes.sum():.4f} bits per byte, "
            f"perplexity {math.exp(nats / tokens):.4g} per token"
            + (f" and {per_word:.4g} per word" if per_word is not None else ""),
            err=True,
        )
