"""Retrieval: from a picture, does a matcher of pictures and captions find the caption among a hundred?

The matcher learns from the training pictures alone: a picture's features are to be nearest to those of its caption
among the captions of a batch, and the other way round (CLIP: Radford et al. 2021).
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.classification.predictions import logits_over
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.images import Images, pixels_of, read_examples
from quartet.params.shared import Training
from quartet.text_to_image.captions.prompts import PicturePrompts
from quartet.text_to_image.networks.matcher import Matcher
from quartet.text_to_image.networks.text_encoder import TextEncoder
from quartet.text_to_image.noise_schedules import to_signed
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train as run_loop
from quartet.training.task import Batch, Task

WIDTH, FEATURES = 64, 128
BATCH_SIZE, LEARNING_RATE = 128, 0.002
AMONG, DRAWS = 100, 10  # captions that a picture's own is found among, and how often others are drawn
NEAR = 5  # the caption counts as nearly found among so many


class PictureCaptionMatcher(nn.Module):
    """Pictures and captions to features, which are near each other if they belong together.

    Args:
        channels, size: of the pictures.
        vocabulary_size, words: of the captions.
    """

    def __init__(self, *, channels: int, size: int, vocabulary_size: int, words: int):
        super().__init__()
        # The matcher of the rejection with features for its words.
        self.pictures = Matcher(channels=channels, size=size, words=range(FEATURES), width=WIDTH, groups=8)
        self.captions = TextEncoder(vocabulary_size=vocabulary_size, words=words, width=WIDTH, layers=1, heads=4)
        self.project = nn.Linear(WIDTH, FEATURES)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def features_of_pictures(self, pictures: Tensor) -> Tensor:
        """`(batch, channels, size, size)` in [-1, 1] to `(batch, FEATURES)` of length 1."""
        return F.normalize(self.pictures(pictures), dim=1)

    def features_of_captions(self, captions: Tensor) -> Tensor:
        """`(batch, words)` ids to `(batch, FEATURES)` of length 1."""
        return F.normalize(self.project(self.captions(captions)[0][:, 0]), dim=1)

    def forward(self, pictures: Tensor, captions: Tensor) -> Tensor:
        """The similarity of each picture with each caption, `(pictures, captions)`."""
        return self.log_scale.exp() * self.features_of_pictures(pictures) @ self.features_of_captions(captions).T


def contrastive_loss(similarity: Tensor, captions: Tensor) -> Tensor:
    """The mean cross-entropy of finding the caption of a picture, and the picture of a caption, in a batch.

    Args:
        similarity: `(batch, batch)`, of each picture with each caption.
        captions: `(batch, words)`; equal ones of other pictures are not counted against a picture.
    """
    equal = (captions[:, None] == captions).all(dim=2)
    own = torch.eye(len(captions), dtype=torch.bool, device=captions.device)
    similarity = similarity.masked_fill(equal & ~own, -torch.inf)
    wanted = torch.arange(len(captions), device=captions.device)
    return (F.cross_entropy(similarity, wanted) + F.cross_entropy(similarity.T, wanted)) / 2


def trained_matcher(
    images: Images, prompts: PicturePrompts, *, vocabulary_size: int, words: int, steps: int, seed: int
) -> PictureCaptionMatcher:
    """A matcher of training pictures and their captions.

    Args:
        images: `(images, channels, size, size)` uint8, on the device where to train.
        prompts: their captions.
        vocabulary_size, words: of the captions.
        steps: of the training.
        seed: of the weights, and of the order of the pictures.
    """
    device = images.device
    torch.manual_seed(seed)  # initial weights
    shape = {"channels": images.shape[1], "size": images.shape[2]}
    network = PictureCaptionMatcher(**shape, vocabulary_size=vocabulary_size, words=words).to(device)
    batches = ShuffledBatches(len(images), BATCH_SIZE, seed, device)

    def batch_of(examples: Batch, generator: torch.Generator) -> Batch:
        return to_signed(pixels_of(images, examples)), prompts.drawn(examples[0], generator)

    task = Task(
        network=network,
        examples_at=lambda number: read_examples(images, batches.indices(number), batches.indices(number + 1)),
        batch_of=batch_of,
        loss_of=lambda network, batch: contrastive_loss(network(*batch).float(), batch[1]),
        validate=lambda network: {"score": 0.0},
        steps=steps,
        validate_every=steps,
    )
    how = dataclasses.replace(Training(), learning_rate=LEARNING_RATE, batch_size=BATCH_SIZE, keep="last", steps=steps)
    outcome = run_loop(task, how, seed=seed, device=device, checkpoint=NoCheckpoint(), quiet=True)
    network.load_state_dict(outcome.weights)
    return network.eval()


def picture_features(matcher: PictureCaptionMatcher, images: Images, batch_size: int) -> Tensor:
    """`(images, channels, size, size)` uint8 to `(images, FEATURES)`."""
    return logits_over(matcher.features_of_pictures, images, to_signed, batch_size)


@torch.no_grad()
def retrieval(
    matcher: PictureCaptionMatcher, pictures: Tensor, owners: Tensor, captions: Tensor, *, seed: int
) -> tuple[float, float]:
    """The share of pictures whose caption is the nearest, and is one of the nearest `NEAR`, among `AMONG` captions.

    Captions that are equal count as one. Among fewer than `AMONG` captions, all are used.

    Args:
        matcher: of pictures and captions.
        pictures: their features `(pictures, FEATURES)`.
        owners: the row of `captions` that each picture was drawn from, or shows.
        captions: `(captions, words)` ids.
        seed: of the draws of captions.
    """
    distinct, place = captions.unique(dim=0, return_inverse=True)
    features = matcher.features_of_captions(distinct)
    wanted = place[owners]
    found = near = total = 0
    random = torch.Generator().manual_seed(seed)
    for _ in range(DRAWS if len(distinct) > AMONG else 1):
        among = torch.randperm(len(distinct), generator=random)[:AMONG].to(captions.device)
        inside = torch.isin(wanted, among)
        similarity = pictures[inside] @ features[among].T  # (pictures, AMONG)
        own = similarity[wanted[inside][:, None] == among]
        better = (similarity > own[:, None]).sum(dim=1)
        found, near = found + int((better == 0).sum()), near + int((better < NEAR).sum())
        total += len(better)
    return found / total, near / total
