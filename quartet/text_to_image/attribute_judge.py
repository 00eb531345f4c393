"""The judge of attributes: a classifier with an answer for each, trained on training pictures alone."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from quartet.classification.predictions import VALIDATION_BATCH_FACTOR, logits_over
from quartet.datasets.images import Images, to_unit_range
from quartet.images.networks.interface import ImageNetwork
from quartet.images.settings import TrainCnn
from quartet.images.training.image_training import ImageTraining, LabelledImages
from quartet.images.training.losses import classification_loss
from quartet.text_to_image.captions.attributes import Attributes
from quartet.text_to_image.classifier_accuracy import from_random_weights, train_to_the_end
from quartet.training.task import Batch


class AttributeTraining(ImageTraining):
    """Trains one network to tell all attributes: its logits are those of one attribute after another.

    Labels are `(images, attributes)`.
    """

    attributes: Attributes

    def loss_of(self, network: ImageNetwork, batch: Batch) -> Tensor:
        """The sum of the losses of the attributes."""
        (inputs, wanted), settings = batch, self.settings
        logits = self.attributes.split(network(inputs).float())
        losses = [
            classification_loss(each, wanted[:, place], settings.loss, settings.label_smoothing, None)
            for place, each in enumerate(logits)
        ]
        return torch.stack(losses).sum()


class AttributeJudge:
    """Says which attributes pictures have.

    Args:
        attributes: that it is to tell.
        settings: of the training, those of the image classifiers of the evaluation.
        info: the `info.json` of the pictures.
        train: training pictures `(images, channels, size, size)` uint8 and their `(images, attributes)`.
        device: where to train.
        seed: of the training.
    """

    def __init__(
        self,
        attributes: Attributes,
        settings: TrainCnn,
        info: Mapping,
        train: LabelledImages,
        device: torch.device,
        *,
        seed: int,
    ):
        self.attributes = attributes
        outputs = [value for values in attributes.values.values() for value in values]
        settings = dataclasses.replace(from_random_weights(settings), class_weights="none", cutmix=0.0)
        torch.manual_seed(seed)  # initial weights
        held_out = (train[0][:1], train[1][:1])  # nothing is chosen by validation
        self.training = AttributeTraining(
            settings, {**info, "classes": outputs}, device, seed=seed, train=train, held_out=held_out
        )
        self.training.attributes = attributes
        self.network = train_to_the_end(self.training, settings, device, seed=seed)

    def seen_in(self, images: Images) -> Tensor:
        """`(images, channels, size, size)` uint8 to the value of each attribute, `(images, attributes)`."""
        batch_size = VALIDATION_BATCH_FACTOR * self.training.settings.batch_size
        logits = logits_over(
            self.network, images, lambda pixels: self.training.normalised(to_unit_range(pixels)), batch_size
        )
        return torch.stack([each.argmax(dim=1) for each in self.attributes.split(logits)], dim=1)


def attribute_scores(
    attributes: Attributes, drawn: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor], unseen: tuple[Tensor, Tensor]
) -> dict[str, float]:
    """Shares of pictures that have what was asked for, for each attribute, each part, and new compositions as a whole.

    With the name of each goes the judge's own accuracy on real pictures.

    Args:
        attributes: that were asked for.
        drawn, real: what the judge sees, and what was asked for or is there, `(images, attributes)` each.
        unseen: which of the drawn and of the real pictures are of compositions that training does not have.
    """
    scores = {}
    for kind, (seen, wanted), new in zip(("fidelity", "judge_accuracy"), (drawn, real), unseen, strict=True):
        right = (seen == wanted).cpu()
        for name in attributes.names:
            scores[f"{kind}_{name}"] = _share(right[:, attributes.names.index(name)])
        for part in attributes.parts:
            scores[f"{kind}_{part}"] = _share(right[:, attributes.columns(part)].all(dim=1))
        if new.any():
            scores[f"{kind}_unseen_compositions"] = _share(right[new.cpu()].all(dim=1))
    return scores


def _share(right: Tensor) -> float:
    return right.double().mean().item()
