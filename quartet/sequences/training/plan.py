"""The plan of a training on sequences: classes or numbers, by a recurrent network or by kernels, or a forecast."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from quartet.artifacts import paths
from quartet.artifacts.checksums import sha256
from quartet.artifacts.errors import BadInput
from quartet.params.fields import changed, say_idle
from quartet.sequences.loading import load_sequences
from quartet.sequences.settings import TrainRnn
from quartet.sequences.training.forecast_training import forecast_training
from quartet.sequences.training.kernel_training import KernelTraining
from quartet.sequences.training.sequence_training import SequenceTraining
from quartet.training.no_classes import nothing_to_train
from quartet.training.run import Plan
from quartet.training.start_classes import foreign_classifier
from quartet.training.start_weights import TOKENIZER

CARD_KEYS = (
    *("kind", "input", "classes", "image_shape", "order", "steps", "features", "feature_names", "vocabulary_size"),
    *("mean", "std", "standardise", "task", "target_mean", "target_std", "quintiles"),
    *("horizon", "window", "season", "known"),
)


def plan(settings: TrainRnn, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan of a training on the processed sequences in `folder`; `info` is their `info.json`.

    Raises:
        BadInput: the network in the settings does not take such sequences, or a setting has no effect on them.
    """
    card_keys = tuple(key for key in CARD_KEYS if key in info)
    if info["input"] == "pixels" and len(info["classes"]) < 2:
        return nothing_to_train(card_keys, device, info["source"])
    _refuse_idle_settings(settings, info)
    _name_idle_settings(settings, info)
    if info["input"] == "forecast":
        forecasts = forecast_training(settings, seed=seed, folder=folder, info=info, device=device)
        return Plan(forecasts.task(), forecasts.description, card_keys, calibrate=forecasts.calibrate)
    if settings.network == "linear":
        raise BadInput(f"{info['source']}: train_rnn.network = linear only forecasts; set it to recurrent or kernels")
    if settings.network == "kernels" and info["input"] == "tokens":
        raise BadInput(f"{info['source']}: train_rnn.network = kernels takes numbers, not texts; set it to recurrent")
    train, held_out = load_sequences(folder, "train"), load_sequences(folder, "validation")
    if settings.include_validation:
        train = train.joined(held_out)
    kind = KernelTraining if settings.network == "kernels" else SequenceTraining
    training = kind(settings, info, device, seed=seed, train=train, held_out=held_out)
    return Plan(
        task=training.task(),
        description=training.description,
        card_keys=card_keys,
        model_files={"tokenizer": folder / "tokenizer.json"} if info["input"] == "tokens" else {},
        calibrate=training.calibrate,
        foreign=partial(_foreign, training.network, info, folder),
    )


def _foreign(network: nn.Module, info: Mapping, folder: Path, start: Mapping) -> set[str]:
    """The weights that mean something else in a model of other classes, or of another vocabulary."""
    foreign = foreign_classifier(network, info["classes"], start)
    theirs = paths.raw("weights") / "rnn" / TOKENIZER
    if info["input"] == "tokens" and not (theirs.exists() and sha256(theirs) == sha256(folder / TOKENIZER)):
        print("the start model has another vocabulary, so its embedding starts from random weights", flush=True)
        foreign |= {name for name in network.state_dict() if name.startswith("embedding.")}
    return foreign


RECURRENT = ("cell", "hidden_size", "layers", "dropout")
CLASSIFIER = ("bidirectional", "pooling", "token_dropout")


def _name_idle_settings(settings: TrainRnn, info: Mapping) -> None:
    """Print which settings that someone changed are not used, such as those of another network."""
    idle: list[str] = []
    if settings.network != "recurrent":
        idle += changed(settings, RECURRENT + CLASSIFIER)
    elif info["input"] == "forecast":
        idle += changed(settings, CLASSIFIER)
    elif info["input"] != "tokens":
        idle += changed(settings, ["token_dropout"])
    idle += changed(settings, ["loss"] if info["classes"] else ["label_smoothing"])
    if info["input"] != "pixels":
        names = [field.name for field in dataclasses.fields(settings.augmentation)]
        idle += [f"augmentation.{name}" for name in changed(settings.augmentation, names)]
    say_idle("train_rnn", idle, "this task and network")


def _refuse_idle_settings(settings: TrainRnn, info: Mapping) -> None:
    """Raise BadInput for settings that someone changed and that would change nothing for such sequences."""
    if settings.series_augmentation.on and info["input"] != "numbers":
        raise BadInput(
            f"{info['source']}: train_rnn.series_augmentation changes series that have a class or a number; set all of "
            "it to 0"
        )
    if settings.class_weights != "none" and not info["classes"]:
        raise BadInput(f"{info['source']}: has no classes; set train_rnn.class_weights to none")
