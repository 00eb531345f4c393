"""`python -m quartet predict FAMILY INPUT`: answer all that a file or a folder holds."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quartet.artifacts.errors import BadInput, clear_errors, listed
from quartet.commands.outputs import refuse_folder, refuse_table
from quartet.families import FAMILIES, FamilyKey

if TYPE_CHECKING:
    from quartet.datasets.questions import Question
    from quartet.tracking.served import Interface, Served

PROBABILITY = "probability_"
TABLES = ("classes", "number", "forecast")  # outputs that are tables with a row per question
Answered = tuple["Question", Any, str]  # question, answer, error


def predict(
    family: Annotated[FamilyKey, typer.Argument(help="Which model.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="cnn: a folder of pictures, or a table with a column file_name. rnn: a table of series or of "
            "passages, or a .ts file. lm and diffusion: a text file with a prompt or a caption per line, or a table.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The CSV file to write; for diffusion, a new folder for a PNG each and a table.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A model of the registry, such as models:/quartet-cnn@champion, instead of that in models/."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="A parameter, such as temperature=0.5 or seed=1; may be given several times. The section evaluate of "
            "the settings file has defaults for the model in models/.",
        ),
    ] = None,
    params: Annotated[
        Path, typer.Option(help="Settings file; its section preprocess says how tables are read.")
    ] = Path("params.yaml"),
) -> None:
    """Answer pictures, series, passages, prompts or captions in bulk, and write a table of the answers.

    What cannot be answered is a row with its error; the others are answered, and the exit code is 1. If the input has
    labels, the scores are printed too. Ctrl-C writes what has been answered so far.
    """
    with clear_errors("predict"):
        from quartet.settings import read_settings
        from quartet.tracking.registry import load_registered

        chosen, settings = FAMILIES[family.value], read_settings(params)
        preparation = settings.preparation(chosen.item)
        if family is FamilyKey("diffusion"):
            refuse_folder(out)
        else:
            refuse_table(out, source)
        served = load_registered(model, family.value) if model else load_local(family.value)
        interface = served.interface(served.card)
        defaults = {parameter.name: parameter.default for parameter in interface.parameters}
        if not model and chosen.evaluation_section in chosen.sections:
            defaults |= served.defaults(settings.section(chosen.evaluation_section))
        parameters = parse_parameters(changes or [], defaults)
        asked = served.questions(source, preparation)
        answered, is_stopped = _until_stopped(answers(served, interface, asked.questions, parameters))
        broken = [reason for _, _, reason in answered if reason]
        data = served.card["data"]
        features = data.get("feature_names", [])[: data.get("features", 0) - len(data.get("known", []))]
        write_answers(out, asked.kind, interface, answered, features)
        typer.echo(f"{out}: {len(answered) - len(broken):,} answers, {len(broken):,} errors")
        if is_stopped:
            left = len(asked.questions) - len(answered)
            typer.echo(f"predict: stopped; {left:,} of {len(asked.questions):,} have no answer", err=True)
            raise typer.Exit(130)
        for name, score in scores_of(answered, data.get("classes", [])).items():
            typer.echo(f"{name} {score:.6g}")
        if broken:
            typer.echo(f"predict: {len(broken):,} of {len(answered):,} could not be answered: {broken[0]}", err=True)
            raise typer.Exit(1)


def _until_stopped(found: Iterator[Answered]) -> tuple[list[Answered], bool]:
    """All that is found until Ctrl-C, and whether that came; what took hours is not lost.

    Raises:
        KeyboardInterrupt: nothing was found before.
    """
    answered: list[Answered] = []
    try:
        for each in found:
            answered.append(each)
    except KeyboardInterrupt:
        if not answered:
            raise
        return answered, True
    return answered, False


def load_local(family: str) -> "Served":
    """The family's model in `models/`; it needs no prepared data.

    Raises:
        ValueError: there is none.
    """
    from quartet.artifacts import paths
    from quartet.commands.language_model import own_tokenizer

    model = paths.model(family)
    return resolve_name(FAMILIES[family].served)(model, own_tokenizer(model))


def parse_parameters(given: list[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the model's parameters: its `defaults`, and those given as `NAME=VALUE`.

    Raises:
        BadInput: there is no such parameter, or its value is of another type.
    """
    values = dict(defaults)
    for text in given:
        name, _, value = text.partition("=")
        if name not in values:
            raise BadInput(f"--with: found {text!r}; parameters are {', '.join(values) or 'not taken by this model'}")
        try:
            values[name] = type(values[name])(value)
        except ValueError as error:
            raise BadInput(f"--with: found {text!r}; {name} is a number such as {values[name]}") from error
    return values


def answers(
    served: "Served", interface: "Interface", questions: list["Question"], parameters: dict[str, Any]
) -> Iterator[Answered]:
    """Each question with its answer or, as the last of three, the reason why there is none; shows the progress."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from quartet.commands.bulk import BATCH, answers_in_bulk, reason

    def answer(batch: Sequence["Question"]) -> Sequence[Any]:
        found = served.predict(interface.inputs.checked([each.read() for each in batch]), parameters)
        return found.to_dict("records") if interface.output in TABLES else found

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    console = Console(stderr=True)
    batch = BATCH if interface.output in TABLES else BATCH // 8
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(questions), rate="")
        for question, found in answers_in_bulk(questions, answer, batch):
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, rate=f"{speed:.1f}/s" if speed else "")
            yield (question, None, reason(found)) if isinstance(found, Exception) else (question, found, "")


def write_answers(
    out: Path, kind: str, interface: "Interface", answered: list[Answered], features: Sequence[str] = ()
) -> None:
    """Write a row per question: its name, the text if it is one, its label if known, its answer, and its error.

    `features` are those that are forecast, if any.
    """
    import pandas as pd

    from quartet.artifacts.writing import atomic_folder, write_bytes, write_table
    from quartet.tracking.served import Column

    inputs = interface.inputs
    asked = inputs.name if isinstance(inputs, Column) and inputs.kind == "string" else None
    labelled = any(question.label is not None for question, _, _ in answered)
    rows: list[dict[str, object]] = []
    for question, answer, error in answered:
        row: dict[str, object] = {kind: question.name}
        if asked:
            row[asked] = question.text
        if labelled:
            row["label"] = question.label or ""
        for cells in cells_of(answer, interface, len(rows) + 1, features):
            rows.append({**row, **cells, "error": error})
    table = pd.DataFrame(rows)
    if interface.output == "classes":  # in one order, whichever is the most probable class of the first row
        of_classes = sorted(str(name) for name in table if str(name).startswith(PROBABILITY))
        table = table[[*(name for name in table if name not in (*of_classes, "error")), *of_classes, "error"]]
    if interface.output != "pictures":
        write_table(out, table)
        return
    with atomic_folder(out) as folder:
        for name, (_, answer, _) in zip(table["file"], answered, strict=True):
            if name:
                write_bytes(folder / name, base64.b64decode(answer))
        write_table(folder / "pictures.csv", table)


def cells_of(answer: Any, interface: "Interface", number: int, features: Sequence[str]) -> list[dict[str, object]]:
    """The cells of an answer, empty if there is none; a picture is named by the number of its row.

    A forecast has a row for each step ahead of each of the `features`; any other answer has one.
    """
    if interface.output == "pictures":
        return [{"file": f"{number:05}.png" if answer else ""}]
    if interface.output == "text":
        return [{"text": answer or ""}]
    if interface.output == "number":
        return [{"number": answer["number"] if answer else None}]
    if interface.output == "forecast":
        return list(_steps_ahead(answer, features)) if answer else [{"step_ahead": None}]
    if not answer:
        return [{"class": "", "probability": None}]
    of_classes = {PROBABILITY + name: probability for name, probability in answer["probabilities"].items()}
    return [{"class": answer["class"], "probability": answer["probability"], **of_classes}]


def _steps_ahead(answer: Mapping[str, list], features: Sequence[str]) -> Iterator[dict[str, object]]:
    """A row for each step ahead of each feature; `answer` has a list of steps with a list of features per column."""
    for place, feature in enumerate(features):
        for step in range(len(answer["forecast"])):
            found = {name: steps[step][place] for name, steps in answer.items()}
            yield {"step_ahead": step + 1, "feature": feature, **found}


def scores_of(answered: list[Answered], classes: Sequence[str]) -> dict[str, float]:
    """The scores of the answers to the questions whose labels, numbers or texts are known; empty if there are none.

    Raises:
        BadInput: a label is none of the model's classes, or no number where the model predicts one.
    """
    import numpy as np

    known = [(each.label, answer) for each, answer, error in answered if not error and each.label is not None]
    if not known:
        return {}
    if isinstance(known[0][1], str):
        from quartet.language.translation.scores import translation_scores

        return translation_scores([answer for _, answer in known], [str(label) for label, _ in known])
    if not classes:
        from quartet.sequences.number_scores import number_scores

        try:
            labels = np.asarray([float(label) for label, _ in known])
        except ValueError as error:
            raise BadInput(f"the answers are written, but no score: a label is no number ({error})") from error
        return number_scores(labels, np.asarray([answer["number"] for _, answer in known]))
    unknown = sorted({label for label, _ in known} - set(classes))
    if unknown:
        raise BadInput(f"the answers are written, but no score: the model has no class {listed(unknown)}")
    from quartet.classification.scores import classification_scores

    labels = np.asarray([classes.index(label) for label, _ in known])
    probabilities = np.asarray([[answer["probabilities"][name] for name in classes] for _, answer in known])
    return classification_scores(labels, probabilities)
