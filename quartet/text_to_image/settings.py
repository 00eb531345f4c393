"""Settings of text to image."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from quartet.params.fields import setting, with_default
from quartet.params.shared import Training, compile_setting, width_per_head


@dataclasses.dataclass(frozen=True)
class TrainDiffusion(Training):
    """How text to image is trained."""

    objective: str = setting(
        "flow", "prediction target: the flow's velocity, the noise, or v", choices=("flow", "epsilon", "v")
    )
    noise_schedule: str = setting(
        "cosine", "forward process for `epsilon` and `v`; `flow` has its own", choices=("cosine", "linear")
    )
    width: int = setting(32, "channels of the UNet's finest level, a multiple of 8", at_least=8, at_most=1024)
    norm_groups: int = setting(
        8, "groups of the group normalisation; must divide `width`; 1 is faster on a CPU", at_least=1, at_most=64
    )
    longest_caption: int = setting(
        64, "most tokens that are read of a caption that pictures bring along", at_least=4, at_most=1024
    )
    text_width: int = setting(64, "features per caption word", at_least=8, at_most=1024)
    text_layers: int = setting(1, "blocks of the text encoder", at_least=1, at_most=32)
    text_heads: int = setting(
        4, "attention heads of the text encoder; must divide `text_width`", at_least=1, at_most=64
    )
    matcher: bool = setting(
        False, "also train a network that matches pictures with captions, for `evaluate.diffusion.rejection`"
    )
    caption_dropout: float = setting(
        0.1, "share of training captions that are dropped, for classifier-free guidance", at_least=0, below=1
    )
    dropout: float = setting(0.0, "dropout in the UNet's residual blocks", at_least=0, below=1)
    optimizer: str = with_default(Training, "optimizer", "muon")
    learning_rate: float = with_default(Training, "learning_rate", 0.01)
    batch_size: int = with_default(Training, "batch_size", 128)
    precision: str = with_default(Training, "precision", "auto")
    steps: int = with_default(Training, "steps", 700)
    validate_every: int = with_default(Training, "validate_every", 140)
    compile: bool = compile_setting()

    def conflicts(self, data: Any, evaluation: "EvaluateDiffusion") -> Iterator[str]:
        """Samplers, guidance and rejection that the network cannot use, and widths that are not divisible."""
        if (self.objective == "flow") != (evaluation.sampler in ("euler", "heun")):
            fitting = "euler, heun" if self.objective == "flow" else "ddim, ddpm"
            yield (
                f"evaluate.diffusion.sampler: found {evaluation.sampler!r}; the objective {self.objective!r} allows "
                f"{fitting}"
            )
        if self.caption_dropout == 0 and evaluation.guidance != 1:
            yield (
                f"evaluate.diffusion.guidance: found {evaluation.guidance}, which runs the network without a caption; "
                "with train_diffusion.caption_dropout = 0 it is not trained for that, so guidance must be 1"
            )
        if self.caption_dropout == 0 and evaluation.rejection and not self.matcher:
            yield (
                f"evaluate.diffusion.rejection: found {evaluation.rejection}, which runs the network without a "
                "caption; with train_diffusion.caption_dropout = 0 it needs train_diffusion.matcher = true"
            )
        if self.width % 8:
            yield f"train_diffusion.width: found {self.width}, allowed is a multiple of 8"
        if self.width % self.norm_groups:
            yield (
                f"train_diffusion.norm_groups: found {self.norm_groups}, which does not divide "
                f"train_diffusion.width = {self.width}"
            )
        yield from width_per_head("train_diffusion.text_", self.text_width, self.text_heads, "sinusoidal")


@dataclasses.dataclass(frozen=True)
class EvaluateDiffusion:
    """How pictures are drawn and scored."""

    images: int = setting(4000, "images drawn, spread evenly over the classes", at_least=1, at_most=1_000_000)
    swept_images: int = setting(
        200,
        "images drawn per point of the report's sweep over steps, guidance and temperature",
        at_least=20,
        at_most=1_000_000,
    )
    steps: int = setting(5, "sampler steps", at_least=1, at_most=1000)
    guidance: float = setting(1.4, "strength of classifier-free guidance; 1 is no guidance", at_least=0, at_most=100)
    temperature: float = setting(1.2, "strength of the initial noise; above 1, pictures vary more", above=0, at_most=10)
    rejection: float = setting(
        0.0,
        "share of the drawn pictures that are rejected: those that match their captions least",
        at_least=0,
        at_most=0.9,
    )
    sampler: str = setting(
        "heun",
        "solver of the reverse process: `euler` or `heun` for `flow`, the others for `epsilon` and `v`",
        choices=("euler", "heun", "ddim", "ddpm"),
    )
    classifiers: int = setting(
        5, "how many classifiers to train on drawn, and on real images, for `cas_accuracy`", at_least=2, at_most=100
    )
    classifier_steps: int = setting(800, "training steps of each of these classifiers", at_least=1, at_most=1_000_000)
