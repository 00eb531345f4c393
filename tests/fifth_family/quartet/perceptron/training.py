"""How the perceptron is trained."""

from collections.abc import Mapping
from pathlib import Path

import torch
from quartet.perceptron.network import NETWORKS
from quartet.perceptron.settings import TrainMlp
from torch.nn import functional as F

from quartet.artifacts.rebuilding import build_network
from quartet.classification.predictions import logits_over, validation_scores
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.images import load_images, to_unit_range
from quartet.training.run import Plan
from quartet.training.task import Task


def plan(settings: TrainMlp, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan for the processed images in `folder`."""
    (images, labels), (held_out, held_out_labels) = (load_images(folder, split) for split in ("train", "validation"))
    pixels = info["channels"] * info["size"] ** 2
    description = {"name": "perceptron", "pixels": pixels, "hidden": settings.hidden, "classes": len(info["classes"])}
    batches = ShuffledBatches(len(images), settings.batch_size, seed, device)
    task = Task(
        network=build_network(NETWORKS, description).to(device),
        examples_at=lambda number: (batches.indices(number),),
        batch_of=lambda examples, generator: (to_unit_range(images[examples[0]]), labels[examples[0]]),
        loss_of=lambda network, batch: F.cross_entropy(network(batch[0]), batch[1]),
        validate=lambda network: validation_scores(logits_over(network, held_out, to_unit_range, 256), held_out_labels),
        steps=settings.steps,
        validate_every=settings.validate_every,
    )
    return Plan(task, description, ("classes", "channels", "size"))
