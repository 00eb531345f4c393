"""Train an image classifier: augmented batches, loss, validation."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from quartet.artifacts.rebuilding import build_network
from quartet.classification.calibration import fit_temperature
from quartet.classification.predictions import VALIDATION_BATCH_FACTOR, logits_over, validation_scores
from quartet.datasets.augmentation import Transform, apply_transforms, random_transforms
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.images import Images, StreamedImages, normalise, rows_at_once, to_unit_range
from quartet.images.networks import NETWORKS
from quartet.images.networks.backbone import Backbone, input_size_for, standardisation_of
from quartet.images.networks.interface import ImageNetwork
from quartet.images.settings import TrainCnn
from quartet.images.training.cutmix import mixed_loss, paste, random_squares
from quartet.images.training.fine_tuning import features_of_views, layer_factors
from quartet.images.training.losses import classification_loss
from quartet.reporting.drawing.figures import save_figure
from quartet.reporting.image_sheets import image_sheet
from quartet.training.class_weights import class_weights
from quartet.training.compiling import compiled
from quartet.training.parallel.share import own_rows, processes
from quartet.training.standing_still import chance_of_classes
from quartet.training.task import Batch, Task

LabelledImages = tuple[Images, Tensor]  # (images, channels, size, size) uint8 and (images,) labels
SHOWN, TIMES = 8, 4  # images and augmentations of each in `augmentation.png`


def describe_network(
    settings: TrainCnn, info: Mapping, start: Mapping[str, object] = MappingProxyType({})
) -> dict[str, object]:
    """The arguments that build the network in the settings for the images that `info` describes.

    `start` are the arguments of the model that the training starts from, if there is one.
    """
    common = {"classes": len(info["classes"]), "dropout": settings.dropout}
    sizes = {"channels": info["channels"], "size": info["size"]}
    if settings.network == "reference":
        return {"name": "reference", **common, "activation": settings.activation}
    if not settings.has_body:
        stem = {"stem": settings.stem} if settings.network == "compact" else {}
        shape = {"width": settings.width, **stem, "activation": settings.activation}
        return {"name": settings.network, **common, **sizes, **shape}
    body = {"body": settings.network, "input_size": input_size_for(settings.network, info["size"])}
    if settings.weights == "none" and "scale" not in start:
        return {"name": "backbone", **common, **sizes, **body}
    mean, std = standardisation_of(settings.network)
    own_mean, own_std = (info[name] * (3 // info["channels"]) for name in ("mean", "std"))  # grey has one of each
    scale = [round(own / theirs, 6) for own, theirs in zip(own_std, std, strict=True)]
    shift = [round((own - theirs) / deviation, 6) for own, theirs, deviation in zip(own_mean, mean, std, strict=True)]
    return {"name": "backbone", **common, **sizes, **body, "scale": scale, "shift": shift, "keeps_statistics": True}


def _own(transform: Transform) -> Transform:
    """A transform of the batch, with the parameters of this process's images."""
    function, parameters = transform
    return function, {name: own_rows(of) if isinstance(of, Tensor) else of for name, of in parameters.items()}


def _rolled(transform: Transform) -> Transform:
    """A transform whose parameters are each those of the image before."""
    function, parameters = transform
    return function, {name: of.roll(1, 0) if isinstance(of, Tensor) else of for name, of in parameters.items()}


def _on_device(split: LabelledImages, device: torch.device) -> LabelledImages:
    """A split on the device; images that are read from disk go there batch by batch."""
    images, labels = split
    return images.to(device) if isinstance(images, Tensor) else images, labels.to(device)


class ImageTraining:
    """A network and the functions that the training loop calls.

    Args:
        settings: of the training.
        info: the `info.json` of the images.
        device: where to train.
        seed: of the order of the images.
        train, held_out: images and labels.
        start: the arguments of the network of the model to start from, if there is one.
    """

    def __init__(
        self,
        settings: TrainCnn,
        info: Mapping,
        device: torch.device,
        *,
        seed: int,
        train: LabelledImages,
        held_out: LabelledImages,
        start: Mapping[str, object] = MappingProxyType({}),
    ):
        self.settings, self.seed = settings, seed
        self.images, self.labels = _on_device(train, device)
        self.held_out, self.held_out_labels = _on_device(held_out, device)
        self.description = describe_network(settings, info, start)
        network = build_network(NETWORKS, self.description)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.batches = ShuffledBatches(len(self.images), settings.batch_size, seed, device)
        self.mean, self.std = (torch.tensor(info[name], device=device) for name in ("mean", "std"))
        self.class_weights = class_weights(self.labels, len(info["classes"]), settings.class_weights)
        # A linear probe never thaws, however many steps fit into `max_seconds`.
        self.frozen_steps = math.inf if settings.freeze == 1 else round(settings.freeze * self.steps)
        self._augmented = compiled(self.augmented) if settings.compile else self.augmented

    def task(self) -> Task:
        """The task for the training loop."""
        settings = self.settings
        return Task(
            network=self.network,
            examples_at=self.examples_at,
            batch_of=self.batch_of,
            loss_of=compiled(self.loss_of) if settings.compile else self.loss_of,
            validate=self.validate,
            steps=self.steps,
            validate_every=settings.validate_every,
            # A replayed step reads no files.
            replayable=self.frozen_steps in (0, math.inf) and not isinstance(self.images, StreamedImages),
            rate_factors=layer_factors(self.network, settings.layer_decay) if settings.layer_decay < 1 else {},
            chance=lambda: chance_of_classes(self.held_out_labels),
            weight_of=self.weight_of if self.class_weights is not None else None,
        )

    @property
    def steps(self) -> int:
        """The number of training steps."""
        epochs = self.settings.epochs and self.batches.steps_in(self.settings.epochs, self.settings.accumulate)
        return epochs or self.settings.steps

    def examples_at(self, number: int) -> Batch:
        """The indices of a batch's images in the training split and, while the body stands still, all features."""
        chosen = self.batches.indices(number)
        if number // self.settings.accumulate < self.frozen_steps:
            return chosen, self.frozen_features
        if isinstance(self.images, StreamedImages):
            for batch in (chosen, self.batches.indices(number + 1)):
                self.images.read_ahead(own_rows(batch))
                if self.settings.cutmix and processes() > 1:
                    self.images.read_ahead(own_rows(batch.roll(1)))
        return (chosen,)

    @functools.cached_property
    def frozen_features(self) -> Tensor:
        """The body's features of the training images, and of their mirror images if these are trained on."""
        return self._features_of(self.images, flipped=self.settings.augmentation.flip > 0)

    @functools.cached_property
    def held_out_features(self) -> Tensor:
        """The body's features of the held-out images."""
        return self._features_of(self.held_out, flipped=False)[0]

    def _features_of(self, images: Images, *, flipped: bool) -> Tensor:
        assert isinstance(self.network, Backbone)
        return features_of_views(self.network, images, self.normalised, flipped=flipped)

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Augmented, normalised images, or features of an image or its mirror image; and their labels.

        With CutMix, also the labels of the images that are pasted in, and the share of each image that is left.
        """
        chosen, *features = examples
        if features:
            views = torch.randint(len(features[0]), (len(chosen),), generator=generator, device=generator.device)
            views, chosen = own_rows((views, chosen))
            return features[0][views, chosen], self.labels[chosen]
        transforms = random_transforms(self.settings.augmentation, len(chosen), generator)
        images, labels = self._own_augmented(chosen, transforms), self.labels[own_rows(chosen)]
        if not self.settings.cutmix:
            return images, labels
        inside = own_rows(random_squares(self.settings.cutmix, len(chosen), images.shape[-1], generator))
        # Each image gets a part of the one before it, as it is augmented there; other processes may have that one.
        before = chosen.roll(1)
        others = images.roll(1, 0) if processes() == 1 else self._own_augmented(before, list(map(_rolled, transforms)))
        pasted, left = paste(images, others, inside)
        return pasted.contiguous(memory_format=torch.channels_last), labels, self.labels[own_rows(before)], left

    def _own_augmented(self, chosen: Tensor, transforms: list[Transform]) -> Tensor:
        """This process's part of a batch, augmented."""
        return self._augmented(self.images[own_rows(chosen)], [_own(each) for each in transforms])

    def augmented(self, pixels: Tensor, transforms: list[Transform]) -> Tensor:
        """Transform uint8 images into augmented network inputs."""
        return self.normalised(apply_transforms(to_unit_range(pixels), transforms))

    def normalised(self, images: Tensor) -> Tensor:
        """Normalise images in [0, 1] into network inputs."""
        # Convolutions are fastest with channels last.
        return normalise(images, self.mean, self.std).contiguous(memory_format=torch.channels_last)

    def loss_of(self, network: ImageNetwork, batch: Batch) -> Tensor:
        """The loss function of the settings."""
        (inputs, targets, *mixed), settings = batch, self.settings
        logits = (network.classify(inputs) if inputs.ndim == 2 else network(inputs)).float()
        if mixed:
            others, left = mixed
            return mixed_loss(logits, targets, others, left, settings.loss, settings.label_smoothing)
        return classification_loss(logits, targets, settings.loss, settings.label_smoothing, self.class_weights)

    def weight_of(self, batch: Batch) -> Tensor:
        """The sum of the weights of a batch's images, by their classes."""
        assert self.class_weights is not None
        return self.class_weights[batch[1]].sum()

    def validate(self, network: ImageNetwork) -> dict[str, float]:
        """Loss and accuracy on the held-out images."""
        return validation_scores(self.logits_of_held_out(network), self.held_out_labels)

    def calibrate(self, network: ImageNetwork) -> dict[str, float]:
        """The temperature of the network's probabilities."""
        return {"temperature": fit_temperature(self.logits_of_held_out(network), self.held_out_labels)}

    @torch.no_grad()
    def logits_of_held_out(self, network: ImageNetwork) -> Tensor:
        """`(images, classes)` logits of the held-out images."""
        if self.frozen_steps == math.inf:
            return network.classify(self.held_out_features)
        return self.logits_of(network, self.held_out)

    def logits_of(self, network: ImageNetwork, images: Images) -> Tensor:
        """`(images, classes)` logits of uint8 images, without augmentation."""
        batch_size = min(VALIDATION_BATCH_FACTOR * self.settings.batch_size, rows_at_once(images))
        return logits_over(network, images, lambda pixels: self.normalised(to_unit_range(pixels)), batch_size)

    def draw_augmentation(self, folder: Path) -> None:
        """Draw some training images and, below them, several augmentations of each."""
        images = self.images[:SHOWN].cpu()
        generator = torch.Generator().manual_seed(self.seed)
        rows = [images.numpy()]
        for _ in range(TIMES):
            transforms = random_transforms(self.settings.augmentation, len(images), generator)
            rows.append(apply_transforms(to_unit_range(images), transforms).numpy())
        titles = ["prepared", *["augmented"] * TIMES]
        save_figure(
            image_sheet(rows, titles, title="Training images and their augmentation"), folder / "augmentation.png"
        )
