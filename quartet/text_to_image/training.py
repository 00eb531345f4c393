"""Train text to image: noisy pictures, captions, denoising loss, validation."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.rebuilding import build_network
from quartet.datasets.batches import ShuffledBatches
from quartet.datasets.images import open_images, pixels_of, read_examples, rows_at_once
from quartet.params.fields import changed, say_idle
from quartet.text_to_image.captions.open_captions import OpenCaptions, is_open
from quartet.text_to_image.captions.prompts import Prompts, Reader, distinguishing, prompts_of_splits, reads_the_same
from quartet.text_to_image.networks import NETWORKS
from quartet.text_to_image.networks.text_encoder import without_caption
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.networks.unet import patch_side
from quartet.text_to_image.noise_schedules import add_noise, draw_times, to_signed, training_target
from quartet.text_to_image.settings import TrainDiffusion
from quartet.training.compiling import compiled
from quartet.training.parallel.share import own_rows, processes
from quartet.training.run import Plan
from quartet.training.start_weights import read_start
from quartet.training.task import Batch, Chance, Task

VALIDATION_BATCH = 256  # pictures, at most
MIN_VALIDATION_PICTURES = 2000  # noisy pictures in a validation, so that its score depends little on the noise
# Some pictures lack the last three: the range of grey of 16 bits, and what goes with captions of their own.
CARD_KEYS = ("classes", "caption_subject", "channels", "size", "fit", "grey_range", "captions", "task")
OF_MATCHER = ("matcher.",)  # names of weights begin so
OF_TOKENS = ("text_encoder.embedding.", *OF_MATCHER)
MATCHER_SHARE = 1 / 4  # the matcher trains on this share of the pictures, which is enough, since it learns faster


def plan(settings: TrainDiffusion, *, seed: int, folder: Path, info: Mapping, device: torch.device) -> Plan:
    """The plan of a training on the processed images in `folder`; `info` is their `info.json`."""
    if settings.objective == "flow":
        say_idle("train_diffusion", changed(settings, ["noise_schedule"]), "the objective `flow`")
    if not is_open(info):
        say_idle("train_diffusion", changed(settings, ["longest_caption"]), "captions that are made from class names")
    start = read_start(settings.start_from, paths.raw("weights") / "diffusion") or {}
    merges = start.get("network", {}).get("merges")
    training = TextToImageTraining(settings, folder, info, device, seed=seed, merges=merges)
    return Plan(
        task=training.task(),
        description=training.description,
        card_keys=tuple(key for key in CARD_KEYS if key in info),
        foreign=training.foreign,
    )


def describe_network(
    settings: TrainDiffusion, info: Mapping, captions: Reader, matched: Sequence[int]
) -> dict[str, object]:
    """The arguments that build the network in the settings.

    `info` describes the pictures, `captions` reads their captions, and `matched` are the words that a matcher predicts,
    if there is to be one.
    """
    return {
        "name": "text-to-image",
        "channels": info["channels"],
        "size": info["size"],
        "vocabulary_size": captions.vocabulary_size,
        "words": captions.longest,
        "width": settings.width,
        "text_width": settings.text_width,
        "text_layers": settings.text_layers,
        "text_heads": settings.text_heads,
        "dropout": settings.dropout,
        "norm_groups": settings.norm_groups,
        "objective": settings.objective,
        "schedule": schedule_of(settings),
        "matched_words": list(matched),
        **({"merges": list(captions.merges)} if isinstance(captions, OpenCaptions) else {}),
    }


def schedule_of(settings: TrainDiffusion) -> str:
    """The noise schedule; the objective `flow` has its own."""
    return "flow" if settings.objective == "flow" else settings.noise_schedule


class TextToImageTraining:
    """A network and the functions that the training loop calls.

    Args:
        settings: of the training.
        folder: of the processed images.
        info: their `info.json`.
        device: where to train.
        seed: of the order of the images, and of the noise in validation.
        merges: of the tokens of the model that the training starts from, if it reads captions of pictures' own.
    """

    def __init__(
        self,
        settings: TrainDiffusion,
        folder: Path,
        info: Mapping,
        device: torch.device,
        *,
        seed: int,
        merges: Sequence[str] | None = None,
    ):
        self.settings, self.seed, self.device = settings, seed, device
        self.schedule = schedule_of(settings)
        self.images, labels = open_images(folder, "train", device)
        self.held_out, held_out_labels = open_images(folder, "validation", device)
        of_split = {"train": labels, "validation": held_out_labels}
        self.captions, prompts = prompts_of_splits(folder, info, of_split, settings.longest_caption, merges)
        self.prompts, self.held_out_prompts = prompts["train"], prompts["validation"]
        self.batches = ShuffledBatches(len(self.images), settings.batch_size, seed, device)
        matched = distinguishing(self.captions, self.prompts) if settings.matcher else []
        if matched and self.batches.batch_size % (round(1 / MATCHER_SHARE) * processes()) and processes() > 1:
            raise BadInput(
                f"train_diffusion.batch_size: found {self.batches.batch_size}; with a matcher, {processes()} processes "
                f"share a multiple of {round(1 / MATCHER_SHARE) * processes()}"
            )
        self.description = describe_network(settings, info, self.captions, matched)
        self.network = build_network(NETWORKS, self.description).to(device)
        _warn_about_patches(info["size"])

    def task(self) -> Task:
        """The task for the training loop."""
        return Task(
            network=self.network,
            examples_at=self.examples_at,
            batch_of=self.batch_of,
            loss_of=compiled(self.loss_of) if self.settings.compile else self.loss_of,
            validate=self.validate,
            steps=self.settings.steps,
            validate_every=self.settings.validate_every,
            replayable=True,
            chance=self.chance,
        )

    def foreign(self, start: Mapping) -> set[str]:
        """The weights of the captions' tokens, if those of the model that the manifest `start` describes are others."""
        network = start.get("network", {})
        others: tuple[str, ...] = ()
        if not reads_the_same(self.captions, network.get("merges"), start.get("data", {})):
            print("the start model reads captions in other words, so their weights start from random ones", flush=True)
            others = OF_TOKENS
        elif network.get("matched_words") != self.description["matched_words"]:
            others = OF_MATCHER
        return {name for name in self.network.state_dict() if name.startswith(others)}

    def examples_at(self, number: int) -> Batch:
        """The indices of a batch's pictures in the training split; and the pictures, if they are on disk."""
        return read_examples(self.images, self.batches.indices(number), self.batches.indices(number + 1))

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """Noisy pictures, times, captions (some dropped) and targets; clean pictures and captions for the matcher."""
        chosen, clean = examples[0], to_signed(pixels_of(self.images, examples))
        noise, times, caption = self.draws(self.prompts, chosen, generator)
        pictures, target = self.noisy(clean, noise, times)
        dropped = torch.rand(len(chosen), 1, generator=generator, device=self.device) < self.settings.caption_dropout
        read = torch.where(dropped, without_caption(caption), caption)
        few = math.ceil(len(chosen) * MATCHER_SHARE)
        return own_rows((pictures, times, read, target, clean[:few], caption[:few]))

    def draws(self, prompts: Prompts, chosen: Tensor, generator: torch.Generator) -> Batch:
        """Noise, times and captions for pictures.

        `chosen` are the pictures' indices in their split, whose captions are `prompts`.
        """
        noise = torch.randn(len(chosen), *self.images.shape[1:], generator=generator, device=self.device)
        return noise, draw_times(self.schedule, len(chosen), generator), prompts.drawn(chosen, generator)

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Batch:
        """Noisy versions of the pictures `clean`, and the prediction targets."""
        target = training_target(clean, noise, times, self.settings.objective, self.schedule)
        return add_noise(clean, noise, times, self.schedule), target

    def loss_of(self, network: TextToImage, batch: Batch) -> Tensor:
        """The denoising loss, plus the matcher's loss if there is a matcher."""
        *noisy_pictures, clean, caption = batch
        loss = denoising_loss(network, *noisy_pictures)
        return loss if network.matcher is None else loss - network.matcher.log_likelihood(clean, caption).mean()

    @torch.no_grad()
    def validate(self, network: TextToImage) -> dict[str, float]:
        """The denoising loss on held-out pictures at several times each; noise and times are the same in every call."""
        loss = self._held_out_mean(lambda *batch: denoising_loss(network, *batch))
        return {"loss": loss, "score": -loss}

    def chance(self) -> Chance:
        """The score of predicting nothing, zero everywhere."""
        loss = self._held_out_mean(lambda pictures, times, captions, target: target.square().mean())
        return Chance("predicting zero everywhere", -loss)

    def _held_out_mean(self, loss_of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> float:
        """The mean loss of the held-out pictures with noise, several times each."""
        generator = torch.Generator(self.device).manual_seed(self.seed)
        count = len(self.held_out)
        rounds = [
            sum(loss_of(*batch).item() * (len(batch[0]) / count) for batch in self._noisy_held_out(generator))
            for _ in range(max(1, MIN_VALIDATION_PICTURES // count))
        ]
        return sum(rounds) / len(rounds)

    def _noisy_held_out(self, generator: torch.Generator) -> Iterator[Batch]:
        """All held-out pictures with noise, their times, captions and targets, in batches.

        Little is drawn before it is used, so that any number of pictures takes the same memory.
        """
        everything, at_once = torch.arange(len(self.held_out), device=self.device), rows_at_once(self.held_out)
        batch_size = min(VALIDATION_BATCH, at_once)
        for some in everything.split(at_once // batch_size * batch_size):
            drawn = self.draws(self.held_out_prompts, some, generator)
            parts = zip(*(tensor.split(batch_size) for tensor in (some, *drawn)), strict=True)
            for chosen, noise, times, caption in parts:
                pictures, target = self.noisy(to_signed(self.held_out[chosen]), noise, times)
                yield pictures, times, caption, target


def denoising_loss(network: TextToImage, pictures: Tensor, times: Tensor, captions: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of the prediction."""
    return F.mse_loss(network(pictures, times, captions), target)


def _warn_about_patches(size: int) -> None:
    places = size // patch_side(size)
    if size > 16 and (places > 16 or places % 2):
        print(
            f"pictures of {size} pixels give {places}×{places} patches, which makes the network slower or its view "
            "narrower; set preprocess.images.size to a multiple of 16",
            flush=True,
        )
