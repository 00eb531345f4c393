"""Settings of text to image."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from quartet.params.fields import retuned, setting
from quartet.params.shared import Training, compile_setting, width_per_head


@dataclasses.dataclass(frozen=True)
class TrainDiffusion(Training):
    """How text to image is trained."""

    objective: str = setting(
        "flow", "what the network predicts: the flow's velocity, the noise, or v", choices=("flow", "epsilon", "v")
    )
    noise_schedule: str = setting(
        "cosine", "forward process of `epsilon` and `v`; `flow` has its straight path", choices=("cosine", "linear")
    )
    width: int = setting(32, "channels of the UNet's first level, a multiple of 8", at_least=8, at_most=1024)
    norm_groups: int = setting(
        8, "groups that the UNet normalises channels in, divides `width`; 1 is faster on a CPU", at_least=1, at_most=64
    )
    text_width: int = setting(64, "features per caption word", at_least=8, at_most=1024)
    text_layers: int = setting(1, "blocks of the text encoder", at_least=1, at_most=32)
    text_heads: int = setting(4, "attention heads of the text encoder; divides `text_width`", at_least=1, at_most=64)
    matcher: bool = setting(
        False, "train a matcher of pictures and captions along, which chooses for `evaluate.diffusion.rejection`"
    )
    caption_dropout: float = setting(0.1, "share of captions left out, for guidance", at_least=0, below=1)
    dropout: float = setting(0.0, "dropout in the UNet's residual blocks", at_least=0, below=1)
    optimizer: str = retuned(Training, "optimizer", "muon")
    learning_rate: float = retuned(Training, "learning_rate", 0.01)
    batch_size: int = retuned(Training, "batch_size", 128)
    precision: str = retuned(Training, "precision", "auto")
    steps: int = retuned(Training, "steps", 700)
    validate_every: int = retuned(Training, "validate_every", 140)
    compile: bool = compile_setting()

    def contradictions(self, data: Any, evaluation: "EvaluateDiffusion") -> Iterator[str]:
        """Samplers and guidance that the trained network cannot serve, and widths that do not divide."""
        if (self.objective == "flow") != (evaluation.sampler in ("euler", "heun")):
            fitting = "euler, heun" if self.objective == "flow" else "ddim, ddpm"
            yield (
                f"evaluate.diffusion.sampler: found {evaluation.sampler!r}, allowed for the objective "
                f"{self.objective!r} is {fitting}"
            )
        if self.caption_dropout == 0 and evaluation.guidance != 1:
            yield (
                f"evaluate.diffusion.guidance: found {evaluation.guidance}, which asks the network without a caption; "
                "with train_diffusion.caption_dropout = 0, which never trains that, allowed is 1"
            )
        if self.caption_dropout == 0 and evaluation.rejection and not self.matcher:
            yield (
                f"evaluate.diffusion.rejection: found {evaluation.rejection}, which asks the network without a "
                "caption; with train_diffusion.caption_dropout = 0 it takes train_diffusion.matcher = true"
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
    """How pictures are drawn, and how they are scored."""

    images: int = setting(4000, "images drawn, spread over the classes", at_least=1, at_most=1_000_000)
    swept_images: int = setting(
        200,
        "images drawn per point of the report's sweep over steps, guidance and temperature",
        at_least=20,
        at_most=1_000_000,
    )
    steps: int = setting(5, "sampler steps", at_least=1, at_most=1000)
    guidance: float = setting(1.4, "weight of the caption; 1 is no guidance", at_least=0, at_most=100)
    temperature: float = setting(
        1.2, "strength of the noise that a picture begins as; above 1 the pictures vary more", above=0, at_most=10
    )
    rejection: float = setting(
        0.0,
        "share of the pictures drawn that is left out: those that show least of their caption",
        at_least=0,
        at_most=0.9,
    )
    sampler: str = setting(
        "heun",
        "solver of the reverse process: `euler`, `heun` for `flow`, the others for `epsilon` and `v`",
        choices=("euler", "heun", "ddim", "ddpm"),
    )
    classifiers: int = setting(
        5, "classifiers trained on drawn and on real images each, for `cas_accuracy`", at_least=2, at_most=100
    )
    classifier_steps: int = setting(800, "steps of each of their trainings", at_least=1, at_most=1_000_000)
