"""A small training of each family on real digits and real text."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from quartet.artifacts.writing import read_json, write_json
from quartet.datasets.image_sources import download_images
from quartet.datasets.images import load_images, preprocess_images
from quartet.datasets.sequence_preparation import preprocess_sequences
from quartet.datasets.sequence_sources import download_sequences
from quartet.datasets.text import preprocess_text
from quartet.datasets.text_sources import download_text
from quartet.evaluation.image_training import image_training
from quartet.params import Params
from quartet.params.sections import (
    Augmentation,
    Download,
    PreprocessImages,
    PreprocessSequences,
    PreprocessText,
    TrainCnn,
    TrainDiffusion,
    TrainLm,
    TrainRnn,
)
from quartet.training.checkpoints import Checkpoint, NoCheckpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything
from stages import train_diffusion, train_lm, train_rnn

CPU = torch.device("cpu")
EVERY_TRANSFORM = Augmentation(scale=0.1, shear=5.0, flip=0.5, cutout=0.3)


def prepare(folder):
    """Digits, grey, in colour and as sequences of rows, and a text, each in a folder of its own below."""
    for name, channels in (("grey", 1), ("colour", 3)):
        write_json(folder / name / "raw/manifest.json", download_images(Download(), folder / name / "raw"))
        preprocess_images(folder / name / "raw", folder / name, PreprocessImages(channels=channels))
    raw = folder / "sequences/raw"
    write_json(raw / "manifest.json", download_sequences(Download(), raw))
    info = preprocess_sequences(raw, folder / "grey", folder / "sequences", PreprocessSequences())
    write_json(folder / "sequences/info.json", info)
    raw, text = folder / "text/raw", Download(text=f"file:{Path(__file__).parents[1] / 'README.md'}")
    write_json(raw / "manifest.json", download_text(text, raw))
    info = preprocess_text(raw, folder / "text", PreprocessText(tokenizer="character"))
    write_json(folder / "text/info.json", info)


def image_plan(data, device, images="grey", **settings):
    """Settings, and the plan of training `compact` on digits."""
    small = TrainCnn(precision="float32", batch_size=16, width=16, augmentation=EVERY_TRANSFORM, steps=3)
    small = dataclasses.replace(small, **settings)
    folder = data / images
    pairs = {"train": load_images(folder, "train"), "held_out": load_images(folder, "validation")}
    return small, image_training(small, read_json(folder / "info.json"), device, seed=0, **pairs)


def sequence_plan(data, device, **settings):
    """The same of a recurrent network on the rows of digits."""
    small = TrainRnn(batch_size=16, hidden_size=16, layers=2, steps=3)
    params = dataclasses.replace(Params(), train_rnn=dataclasses.replace(small, **settings))
    folder = data / "sequences"
    return params.train_rnn, train_rnn.sequence_plan(params, folder, read_json(folder / "info.json"), device)


def language_plan(data, device, **settings):
    """The same of a language model on characters."""
    small = TrainLm(precision="float32", batch_size=4, width=16, layers=1, heads=2, context=16, ngrams=64, steps=3)
    params = dataclasses.replace(Params(), train_lm=dataclasses.replace(small, **settings))
    folder = data / "text"
    return params.train_lm, train_lm.language_plan(params, folder, read_json(folder / "info.json"), device)


def text_to_image_plan(data, device, images="grey", **settings):
    """The same of text to image on digits."""
    small = TrainDiffusion(precision="float32", batch_size=16, width=8, matcher=True, steps=3)
    params = dataclasses.replace(Params(), train_diffusion=dataclasses.replace(small, **settings))
    folder = data / images
    return params.train_diffusion, train_diffusion.diffusion_plan(
        params, folder, read_json(folder / "info.json"), device
    )


def trained(plan_of, data, device=CPU, checkpoint=None, on_validation=lambda row: None, **settings):
    """Train by a plan from its beginning, or from a checkpoint."""
    seed_everything(0)
    chosen, plan = plan_of(data, device, **settings)
    how = {"seed": 0, "device": device, "checkpoint": checkpoint or NoCheckpoint(), "on_validation": on_validation}
    return train(plan.task, chosen, **how)


class Stopped(Exception):
    """As a kill, in this process."""


def stopped_and_resumed(plan_of, data, between: Callable[[], None] = lambda: None, **settings):
    """The same, but stopped at its first validation and gone on with from the checkpoint."""

    def stop(row):
        raise Stopped

    checkpoint = Checkpoint("stage", {})
    with pytest.raises(Stopped):
        trained(plan_of, data, checkpoint=checkpoint, on_validation=stop, **settings)
    checkpoint.close(finished=False)
    between()
    checkpoint = Checkpoint("stage", {})
    outcome = trained(plan_of, data, checkpoint=checkpoint, **settings)
    checkpoint.close(finished=True)
    return outcome
