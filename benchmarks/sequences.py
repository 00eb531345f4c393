"""Recurrent cells against torch's LSTM trained the usual way: `python -m benchmarks.sequences --mirror ../shared/data`.

In one run, on MNIST read by rows (28 steps), by the pixels of its halved images (196) and by its pixels (784): steps of
sequences per second of each cell in our loop, and of `torch.nn.LSTM` fed by a `DataLoader` with `.item()` after every
batch, all with two layers of 128 units and batches of 64. Writes `sequences.csv` and `sequences.md` into
`reports/benchmarks`. About ten minutes on 2 cores.
"""

import contextlib
import importlib
import io
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

CELLS = ("rnn", "lstm", "gru", "mingru")
ROUNDS, HIDDEN, LAYERS, BATCH, EXAMPLES = 3, 128, 2, 64, 2048
TRAINING_STEPS = {28: 40, 196: 10, 784: 4}  # by length: each measurement takes seconds


def main(
    mirror: Annotated[
        str | None, typer.Option(help="Folder or URL that serves MNIST; its official home if none.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the tables go.")] = Path("reports/benchmarks"),
) -> None:
    """Measure, and write the tables."""
    from quartet.artifacts.writing import write_table, write_text

    importlib.import_module("torch._dynamo")  # torch's optimizers import it on their first use: start-up, not training
    rows = []
    for length, sequences, labels in sequence_sets(mirror):
        for number in range(ROUNDS):
            for name in ("usual LSTM", *CELLS):
                measure = usual_lstm if name == "usual LSTM" else our_loop
                rate = (
                    BATCH * length * TRAINING_STEPS[length] / measure(name, sequences, labels, TRAINING_STEPS[length])
                )
                rows.append({"length": length, "cell": name, "round": number, "steps_per_second": round(rate)})
                print(f"{length} steps, {name}: {rate:,.0f} steps per second", flush=True)
    table = pd.DataFrame(rows)
    write_table(out / "sequences.csv", table)
    write_text(out / "sequences.md", summary(table))
    print((out / "sequences.md").read_text())


def sequence_sets(mirror: str | None):
    """`(length, sequences (examples, length, features) in [0, 1], labels)` of each kind."""
    from torch.nn import functional as F

    from benchmarks.images import prepare
    from quartet.datasets.images import load_images
    from quartet.params.sections import PreprocessImages

    with tempfile.TemporaryDirectory() as folder:
        prepare(mirror, Path(folder), PreprocessImages())
        images, labels = load_images(Path(folder), "validation")
    pictures, labels = images[:EXAMPLES].float() / 255, labels[:EXAMPLES]
    yield 28, pictures[:, 0], labels
    yield 196, F.avg_pool2d(pictures, 2).flatten(1)[..., None], labels
    yield 784, pictures.flatten(1)[..., None], labels


def usual_lstm(name: str, sequences, labels, steps: int) -> float:
    """Seconds for so many steps of the loop that everybody writes."""
    import itertools

    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(sequences.shape[2], HIDDEN, LAYERS, batch_first=True)
            self.classifier = nn.Linear(HIDDEN, 10)

        def forward(self, inputs):
            return self.classifier(self.lstm(inputs)[0][:, -1])

    network = Lstm()
    optimizer, criterion = torch.optim.Adam(network.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(sequences, labels), batch_size=BATCH, shuffle=True)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    total, start = 0.0, 0.0
    for number, (inputs, targets) in enumerate(itertools.islice(batches, steps + 1)):
        if number == 1:  # the first one warms up
            start = time.perf_counter()
        optimizer.zero_grad()
        loss = criterion(network(inputs), targets)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return time.perf_counter() - start


def our_loop(cell: str, sequences, labels, steps: int) -> float:
    """Seconds for so many steps of our loop, without validation."""
    import torch
    from torch.nn import functional as F

    from quartet.datasets.batches import ShuffledBatches
    from quartet.networks.recurrent import RecurrentClassifier
    from quartet.params.sections import TrainRnn
    from quartet.training.checkpoints import NoCheckpoint
    from quartet.training.loop import Task, train

    torch.manual_seed(0)
    device = torch.device("cpu")
    network = RecurrentClassifier(
        features=sequences.shape[2],
        classes=10,
        cell=cell,
        hidden_size=HIDDEN,
        layers=LAYERS,
        bidirectional=False,
        pooling="last",
        dropout=0.0,
    )
    batches = ShuffledBatches(len(sequences), BATCH, 0, device)
    times: list[float] = []

    def batch_at(step, generator):
        times.append(time.perf_counter())
        chosen = batches.indices(step)
        return sequences[chosen], labels[chosen]

    def loss_of(network, batch):
        return F.cross_entropy(network(batch[0]), batch[1])

    def validate(network):
        times.append(time.perf_counter())
        return {"score": 0.0}

    settings = TrainRnn(ema=0.0, clip=0.0, steps=steps + 1, validate_every=steps + 1)
    task = Task(network, batch_at, loss_of, validate, steps=steps + 1, validate_every=steps + 1)
    with contextlib.redirect_stdout(io.StringIO()):
        train(task, settings, seed=0, device=device, checkpoint=NoCheckpoint())
    return times[-1] - times[1]  # the first step warms up


def summary(table: pd.DataFrame) -> str:
    """Medians over the rounds, and their ratio to the usual LSTM's, in Markdown."""
    medians = table.groupby(["length", "cell"], sort=False).steps_per_second.median()
    lengths = list(dict.fromkeys(table.length))
    lines = ["| steps per second | " + " | ".join(f"length {length}" for length in lengths) + " |"]
    lines.append("|---|" + "---|" * len(lengths))
    for cell in dict.fromkeys(table.cell):
        shown = [f"{medians[n, cell]:,.0f} ({medians[n, cell] / medians[n, 'usual LSTM']:.2f}×)" for n in lengths]
        lines.append(f"| {cell} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
