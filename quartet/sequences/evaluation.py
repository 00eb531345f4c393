"""Score the sequence network on the test split, and simpler models for comparison."""

from pathlib import Path

import pandas as pd
import torch
from torch import nn

from quartet.artifacts import paths
from quartet.artifacts.model_store import load_weights, read_card_for
from quartet.artifacts.rebuilding import count_parameters, rebuild_network
from quartet.artifacts.writing import read_json, write_table, write_text
from quartet.classification.calibration import temperature_of
from quartet.classification.no_classes import report_no_classes
from quartet.classification.report import most_confident_mistakes, report_classification, report_mistakes
from quartet.classification.split_files import write_splits
from quartet.reporting.drawing.figures import line_figure, save_figure
from quartet.reporting.sequence_figures import paths_figure
from quartet.sequences.baselines import kernel_baseline, linear_baseline
from quartet.sequences.forecasting.evaluation import report_forecast
from quartet.sequences.hidden_states import TENTHS, accuracy_by_tenths_read, gradient_reach, trajectories
from quartet.sequences.loading import Sequences, as_images, load_sequences, network_inputs
from quartet.sequences.networks import NETWORKS
from quartet.sequences.networks.forecaster import Forecaster
from quartet.sequences.networks.recurrent import RecurrentClassifier
from quartet.sequences.series_reports import report_numbers, report_series_mistakes
from quartet.sequences.training.predictions import logits_over_sequences
from quartet.training.no_classes import NoClasses

SHOWN = 12  # sequences whose hidden states are drawn


def evaluate(*, folder: Path, batch_size: int, seed: int, device: torch.device) -> dict[str, float]:
    """Score the recurrent network; writes pictures and tables into `folder`."""
    processed = paths.processed("sequences")
    card = read_card_for(paths.model("rnn"), processed)
    network = rebuild_network(NETWORKS, card, load_weights(paths.model("rnn"))).to(device)
    data, info = card["data"], read_json(processed / "info.json")
    if isinstance(network, NoClasses):
        return {**report_no_classes(folder, info, "Recurrent network"), "parameters": count_parameters(network)}
    if isinstance(network, Forecaster):
        write_splits(folder, info)
        spread = card.get("calibration", {}).get("spread", 1.0)
        scores = report_forecast(folder, processed, network, data, spread=spread, batch_size=batch_size, device=device)
        return {**scores, "parameters": count_parameters(network)}
    sequences = load_sequences(processed, "test").to(device)
    outputs = logits_over_sequences(network, sequences, data, batch_size)
    write_splits(folder, info, data["classes"])
    if isinstance(network, RecurrentClassifier):
        _report_gradient_reach(folder, network, data, seed)
    if data["classes"]:
        scores = _report_classes(folder, processed, network, sequences, outputs, card, batch_size)
    else:
        scores = report_numbers(folder, processed, network, sequences, outputs, data)
    return {**scores, "parameters": count_parameters(network)}


def _report_classes(
    folder: Path,
    processed: Path,
    network: nn.Module,
    sequences: Sequences,
    logits: torch.Tensor,
    card: dict,
    batch_size: int,
) -> dict[str, float]:
    """Scores of a classifier and of its baselines; writes pictures and tables."""
    data, temperature = card["data"], temperature_of(card)
    what = "Recurrent network" if isinstance(network, RecurrentClassifier) else "Random kernels"
    scores = report_classification(folder, logits, sequences.labels, data["classes"], what, temperature=temperature)
    _report_mistakes(folder, processed, network, sequences, logits, data)
    _report_early_knowledge(folder, network, sequences, data, batch_size)
    if isinstance(network, RecurrentClassifier):
        _report_hidden_states(folder, network, sequences, data)
    baselines = linear_baseline(processed, data)
    if data["input"] == "numbers":
        baselines |= kernel_baseline(processed, data)
    return {**scores, **baselines}


def _report_mistakes(
    folder: Path, processed: Path, network: nn.Module, sequences: Sequences, logits: torch.Tensor, data: dict
) -> None:
    """Write the most confident mistakes, as images, curves or text."""
    if data["input"] == "pixels":
        everything = torch.arange(len(sequences), device=logits.device)
        images = as_images(sequences.padded(everything)[0], data)
        report_mistakes(folder, images, logits, sequences.labels, data["classes"])
    elif data["input"] == "numbers":
        report_series_mistakes(folder, processed, network, sequences, logits, data)
    else:
        texts, classes = pd.read_csv(processed / "test.csv", keep_default_na=False, dtype=str)["text"], data["classes"]
        predicted = logits.argmax(dim=1)
        lines = [
            f"{classes[sequences.labels[i]]}, not {classes[predicted[i]]}: {texts[i]}"
            for i in most_confident_mistakes(logits, sequences.labels).tolist()
        ]
        write_text(folder / "evaluation/mistakes.txt", "\n\n".join(lines) + "\n")


def _report_early_knowledge(
    folder: Path, network: nn.Module, sequences: Sequences, data: dict, batch_size: int
) -> None:
    accuracy = accuracy_by_tenths_read(network, sequences, data, batch_size)
    shares = [tenths / 10 for tenths in TENTHS]
    table = pd.DataFrame({"share_read": shares, "accuracy": accuracy})
    write_table(folder / "evaluation/early_knowledge.csv", table.round(6))
    figure = line_figure(
        {"accuracy": (shares, accuracy)},
        title="Accuracy when only the beginning is read",
        x="share of each sequence that is read",
        y="accuracy",
    )
    save_figure(figure, folder / "evaluation/early_knowledge.png")


def _report_hidden_states(folder: Path, network: RecurrentClassifier, sequences: Sequences, data: dict) -> None:
    chosen = torch.arange(min(SHOWN, len(sequences)), device=sequences.labels.device)
    values, lengths = sequences.padded(chosen)
    names = [data["classes"][label] for label in sequences.labels[chosen].tolist()]
    figure = paths_figure(trajectories(network, network_inputs(values, data), lengths), names)
    save_figure(figure, folder / "evaluation/hidden_states.png")


def _report_gradient_reach(folder: Path, network: RecurrentClassifier, data: dict, seed: int) -> None:
    """Plot the vanishing gradient in an untrained plain cell and a gated one of this network's size."""
    steps = min(int(data["steps"]), 200)
    size = {"steps": steps, "features": network.recurrent.input_size, "hidden_size": network.hidden_size, "seed": seed}
    back = list(range(steps - 1, -1, -1))
    lines = {cell: (back, gradient_reach(cell, **size)) for cell in ("rnn", "lstm")}
    figure = line_figure(
        lines, title="How far the gradient reaches back", x="steps before the last", y="gradient norm", logarithmic=True
    )
    save_figure(figure, folder / "evaluation/gradient_reach.png")
