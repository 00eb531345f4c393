"""Series against what a user would pick otherwise: `python -m benchmarks.series --archive FOLDER --forecasting FOLDER`.

Every pair `NAME_TRAIN.ts`, `NAME_TEST.ts` in the archive's folder, on its official split: the preset `series`,
`torch.nn.LSTM` in the usual loop and, where a Python with aeon is given, aeon's MiniRocket. Test accuracy, or the root
mean squared error of a number, over seeds, and seconds of training. Then the preset `forecast` on `airline.csv` (the
last 12 months) and `ETTh1.csv` (the literature's split, 96 steps ahead), beside the seasonal and the linear forecast.
`--length` trains the preset `series` on 100 generated series of so many steps.

aeon pins other versions of numpy than ours, so that it takes an environment of its own:

    python -m venv aeon && aeon/bin/python -m pip install aeon
    python -m benchmarks.series --archive FOLDER --aeon aeon/bin/python

Nothing is chosen by a test split. Writes `series.csv`, `series.md`, `series.png` and `forecasts.csv` into
`reports/benchmarks`; takes about ten minutes on 2 cores for five small data sets.
"""

import json
import math
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.measuring import in_own_process
from quartet.settings import preset

MINIROCKET = """
import json, sys, time
from aeon.classification.convolution_based import MiniRocketClassifier
from aeon.datasets import load_from_ts_file
from aeon.regression.convolution_based import MiniRocketRegressor

path, seed = sys.argv[1], int(sys.argv[2])
(train, goals), (test, truth) = (load_from_ts_file(path + ending) for ending in ("_TRAIN.ts", "_TEST.ts"))
numbers = truth.dtype.kind == "f"
start = time.perf_counter()
model = (MiniRocketRegressor if numbers else MiniRocketClassifier)(random_state=seed).fit(train, goals)
seconds, found = time.perf_counter() - start, model.predict(test)
score = ((found - truth) ** 2).mean() ** 0.5 if numbers else (found == truth).mean()
print(json.dumps([float(score), seconds]))
"""
ETTH1 = {"horizon": 96, "train_steps": 8640, "validation_steps": 2880, "test_steps": 2880}
PANELS = 3  # of the plot, side by side
LSTM_EPOCHS, LSTM_BATCH, LSTM_HIDDEN = 60, 16, 128


def main(
    archive: Annotated[Path | None, typer.Option(help="Folder with pairs of .ts files.")] = None,
    forecasting: Annotated[Path | None, typer.Option(help="Folder with airline.csv and ETTh1.csv.")] = None,
    aeon: Annotated[Path | None, typer.Option(help="A Python that has aeon.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of each model.", min=1)] = 5,
    length: Annotated[list[int] | None, typer.Option(help="Steps of generated series; several times.", min=2)] = None,
    lstm: Annotated[bool, typer.Option(help="Train torch.nn.LSTM too, which takes most of the time.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the plot.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the tables and the plot."""
    from quartet.artifacts.writing import write_table, write_text

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a comparison on the CPU
    for steps in length or []:
        with tempfile.TemporaryDirectory() as name:
            write_generated(Path(name) / "generated", steps)
            (score, seconds), memory = in_own_process(our_score, Path(name) / "generated", 0)
        print(f"series of {steps} steps: {score:.3f} after {seconds:.1f} s, {memory:.2f} GiB", flush=True)
    if archive:
        names = sorted(path.name.removesuffix("_TRAIN.ts") for path in archive.glob("*_TRAIN.ts"))
        rows = [row for name in names for row in rows_of(archive / name, seeds, lstm, aeon)]
        table = pd.DataFrame(rows)
        write_table(out / "series.csv", table)
        write_text(out / "series.md", markdown(table))
        plot(table, out / "series.png")
        print(markdown(table))
    if forecasting:
        forecasts = pd.DataFrame(
            in_own_process(forecast_scores, forecasting / f"{name}.csv", how, seed)[0]
            for name, how in (("airline", {}), ("ETTh1", ETTH1))
            for seed in range(seeds)
        )
        write_table(out / "forecasts.csv", forecasts)
        print(forecasts.groupby("data").mean().T.round(4).to_string())


def rows_of(path: Path, seeds: int, lstm: bool, aeon: Path | None) -> list[dict]:
    """A row for each model and seed of one data set."""
    models = {"ours": our_score, **({"torch.nn.LSTM": lstm_score} if lstm else {})}
    rows = []
    for seed in range(seeds):
        for model, score_of in models.items():
            (score, seconds), memory = in_own_process(score_of, path, seed)
            rows.append({"data": path.name, "model": model, "seed": seed, "score": score, "seconds": seconds})
            print(f"{path.name}, {model}, seed {seed}: {score:.4f} after {seconds:.1f} s, {memory:.2f} GiB", flush=True)
        if aeon:
            score, seconds = minirocket_score(aeon, path, seed)
            rows.append({"data": path.name, "model": "MiniRocket", "seed": seed, "score": score, "seconds": seconds})
    return rows


def write_generated(path: Path, steps: int) -> None:
    """Write 100 training and 100 test series: half of each are white noise, half are smoothed by two steps."""
    rng = np.random.default_rng(0)
    for ending in ("_TRAIN.ts", "_TEST.ts"):
        noise = rng.normal(size=(100, steps + 1))
        kinds = {"rough": noise[::2, 1:], "smooth": (noise[1::2, 1:] + noise[1::2, :-1]) / 2**0.5}
        rows = [",".join(f"{x:.4f}" for x in row) + f":{kind}" for kind, of in kinds.items() for row in of]
        head = ["@problemName generated", "@univariate true", "@classLabel true rough smooth", "@data"]
        Path(f"{path}{ending}").write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


def minirocket_score(aeon: Path, path: Path, seed: int) -> tuple[float, float]:
    """The same of aeon's MiniRocket; not a number where it refuses the data, as it does series of unequal lengths."""
    command = [str(aeon), "-c", MINIROCKET, str(path), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{path.name}, MiniRocket: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return math.nan, math.nan
    score, seconds = json.loads(done.stdout)
    print(f"{path.name}, MiniRocket, seed {seed}: {score:.4f} after {seconds:.1f} s", flush=True)
    return score, seconds


def prepared(source: str, folder: Path, **settings: object) -> dict:
    """Read a source into `folder/processed`; returns its `info.json`."""
    from quartet.artifacts.fetching import Fetching
    from quartet.artifacts.writing import read_json, write_json
    from quartet.sequences.preparation import prepare_sequences
    from quartet.sequences.settings import PreprocessSequences
    from quartet.sequences.sources import download_sequences

    write_json(folder / "raw/manifest.json", download_sequences(source, Fetching(), folder / "raw"))
    prepare_sequences(folder / "raw", folder / "processed", PreprocessSequences(**settings))  # type: ignore[arg-type]
    return read_json(folder / "processed/info.json")


def trained(name: str, folder: Path, info: dict, seed: int):
    """The network that a preset trains on `folder/processed`, its calibration, and the seconds that this took."""
    import torch

    from quartet.sequences.training.plan import plan
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import train
    from quartet.training.seeding import seed_everything

    importing = torch.optim.AdamW([torch.zeros(1)])  # imports torch's compiler, which is not training time
    del importing
    settings, device = preset(name).training("rnn"), torch.device("cpu")
    seed_everything(seed)
    start = time.perf_counter()
    made = plan(settings, seed=seed, folder=folder / "processed", info=info, device=device)
    outcome = train(made.task, settings, seed=seed, device=device, checkpoint=NoCheckpoint(), quiet=True)
    seconds = time.perf_counter() - start
    network = made.task.network.eval()
    network.load_state_dict(outcome.weights)
    return network, made.calibrate(network), seconds


def our_score(path: Path, seed: int) -> tuple[float, float]:
    """Test accuracy, or RMSE of a number, of the preset `series`, and seconds of training."""
    from quartet.sequences.loading import load_sequences
    from quartet.sequences.training.goals import Number
    from quartet.sequences.training.predictions import logits_over_sequences

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        info = prepared(f"ts:{path}", folder)
        network, _, seconds = trained("series", folder, info, seed)
        test = load_sequences(folder / "processed", "test")
        outputs = logits_over_sequences(network, test, info, 256)
    if info["classes"]:
        return (outputs.argmax(dim=1) == test.labels).double().mean().item(), seconds
    found = Number(info["target_mean"], info["target_std"], "mean_squared_error").numbers(outputs)
    return (found - test.labels).square().mean().sqrt().item(), seconds


def lstm_score(path: Path, seed: int) -> tuple[float, float]:
    """The same of `torch.nn.LSTM` as it is usually written, on all training series."""
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.utils.rnn import pack_sequence

    from quartet.sequences.loading import load_sequences, network_inputs

    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        info = prepared(f"ts:{path}", folder)
        splits = {split: load_sequences(folder / "processed", split) for split in ("train", "validation", "test")}
    train, numbers = splits["train"].joined(splits["validation"]), not info["classes"]
    lstm = nn.LSTM(info["features"], LSTM_HIDDEN, batch_first=True)
    head = nn.Linear(LSTM_HIDDEN, len(info["classes"]) or 1)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=1e-3)

    def outputs_of(data, chosen):
        values, lengths = data.padded(chosen)
        inputs = network_inputs(values, info)
        packed = pack_sequence([each[:n] for each, n in zip(inputs, lengths, strict=True)], enforce_sorted=False)
        return head(lstm(packed)[1][0][-1])

    start = time.perf_counter()
    for _ in range(LSTM_EPOCHS):
        for chosen in torch.randperm(len(train)).split(LSTM_BATCH):
            outputs, labels = outputs_of(train, chosen), train.labels[chosen]
            if numbers:
                scaled = ((labels - info["target_mean"]) / info["target_std"]).float()
                loss = F.mse_loss(outputs[:, 0], scaled)
            else:
                loss = F.cross_entropy(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        found = torch.cat([outputs_of(splits["test"], part) for part in torch.arange(len(splits["test"])).split(64)])
    truth = splits["test"].labels
    if numbers:
        own = found[:, 0].double() * info["target_std"] + info["target_mean"]
        return (own - truth).square().mean().sqrt().item(), seconds
    return (found.argmax(dim=1) == truth).double().mean().item(), seconds


def forecast_scores(path: Path, how: dict, seed: int) -> dict:
    """The report's scores of the preset `forecast`, with its baselines and the seconds of training."""
    import torch

    from quartet.sequences.forecasting.evaluation import report_forecast

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        info = prepared(f"csv:{path}", folder, **how)
        network, calibration, seconds = trained("forecast", folder, info, seed)
        how = {**calibration, "batch_size": 256, "device": torch.device("cpu")}
        scores = report_forecast(folder, folder / "processed", network, info, **how)
    return {"data": path.stem, "seed": seed, "seconds": seconds, **scores}


def markdown(table: pd.DataFrame) -> str:
    """Mean score, its spread over seeds, and seconds of training, a row per data set."""
    found = table.groupby(["data", "model"]).agg(
        mean=("score", "mean"), spread=("score", "std"), seconds=("seconds", "median")
    )
    cells = found.apply(lambda row: f"{row['mean']:.4f} ± {row['spread']:.4f}, {row['seconds']:.1f} s", axis=1)
    cells = cells.where(found["mean"].notna(), "refused")
    wide = cells.unstack("model")[list(dict.fromkeys(table["model"]))]
    lines = [f"| data | {' | '.join(wide)} |", f"|---|{'---|' * len(wide.columns)}"]
    lines += [f"| {row[0]} | {' | '.join(row[1:])} |" for row in wide.itertuples()]
    return "\n".join(lines) + "\n"


def plot(table: pd.DataFrame, path: Path) -> None:
    """Score against seconds of training, a panel per data set."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    from quartet.reporting.drawing.figures import LINE_COLOURS, save_figure, tidy

    names = list(dict.fromkeys(table["data"]))
    rows_of_panels = math.ceil(len(names) / PANELS)
    figure = Figure(figsize=(3.2 * PANELS, 2.8 * rows_of_panels), layout="constrained")
    figure.suptitle("Test accuracy (root mean squared error of numbers) of each seed")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows_of_panels, PANELS, place)
        of_models = table[table["data"] == name].groupby("model", sort=False)
        for colour, (model, rows) in zip(LINE_COLOURS, of_models, strict=False):
            axes.plot(rows["seconds"], rows["score"], "o", color=colour, label=model, alpha=0.7)
        axes.set(title=name, xlabel="seconds of training", xscale="log")
        axes.xaxis.set_minor_formatter(NullFormatter())  # labels would cover each other
        tidy(axes)
    figure.axes[0].legend(frameon=False, fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    typer.run(main)
