"""Every setting of the pipeline, section by section, as in `params.yaml`."""

import dataclasses
from collections.abc import Iterator

from quartet.params.fields import retuned, section, setting


@dataclasses.dataclass(frozen=True)
class Runtime:
    """The machine's business: in no stage's hash."""

    device: str = setting(
        "auto", "where to compute; `auto` takes the CUDA GPU if there is one", choices=("auto", "cpu", "cuda", "mps")
    )
    threads: int | None = setting(None, "CPU threads; null takes every core", at_least=1, at_most=1024)


@dataclasses.dataclass(frozen=True)
class Download:
    """Where the raw data comes from."""

    images: str = setting(
        "digits",
        "labelled images; a folder holds one sub-folder per class",
        choices=("digits", "mnist", "fashion-mnist", "gtsrb", "cifar10"),
        prefixes=("folder:",),
    )
    text: str = setting(
        "docstrings", "text for the language model", choices=("docstrings", "tinyshakespeare"), prefixes=("file:",)
    )
    sequences: str = setting(
        "image-rows",
        "labelled sequences: the images in steps, scikit-learn's docstrings by module, or a file of time series",
        choices=("image-rows", "image-pixels", "docstring-topics"),
        prefixes=("csv:",),
    )
    mirror: str | None = setting(None, "folder or URL that serves the sources instead of their official homes")
    retries: int = setting(4, "further attempts after a failed transfer, with growing pauses", at_least=0, at_most=20)
    timeout: float = setting(30.0, "seconds without an answer before an attempt counts as failed", above=0)


@dataclasses.dataclass(frozen=True)
class PreprocessImages:
    size: int | None = setting(
        None,
        "side in pixels; null takes the one that square images of 8 pixels and more all share, but at most 96; else 48",
        at_least=8,
        at_most=512,
    )
    channels: int | None = setting(None, "1 (grey) or 3 (RGB); null keeps the source's own", at_least=1, at_most=3)
    validation: float = setting(
        0.1,
        "share held out for validation: of the training images where the source has test images, else of all",
        above=0,
        below=0.5,
    )
    split_seed: int = setting(0, "seed of the splits, independent of `seed`", at_least=0, below=2**32)


@dataclasses.dataclass(frozen=True)
class PreprocessText:
    split_seed: int = setting(0, "seed of the splits of separate passages", at_least=0, below=2**32)
    tokenizer: str = setting("bpe", "unit of text", choices=("bpe", "character", "byte"))
    vocabulary_size: int = setting(
        2048, "tokens of the BPE vocabulary, the 256 bytes included", at_least=256, at_most=65536
    )


@dataclasses.dataclass(frozen=True)
class PreprocessSequences:
    validation: float = setting(
        0.1, "share of all sequences held out for validation; images keep theirs", above=0, below=0.5
    )
    split_seed: int = setting(0, "seed of the splits, independent of `seed`", at_least=0, below=2**32)
    vocabulary_size: int = setting(
        2048, "tokens of the vocabulary of `docstring-topics`, the 256 bytes included", at_least=256, at_most=65536
    )
    pixel_order: str = setting(
        "raster",
        "steps of `image-pixels`: line by line, or in one random order for all images (permuted MNIST)",
        choices=("raster", "permuted"),
    )
    missing: str = setting("error", "what an empty cell of a time series means", choices=("error", "previous", "zero"))


@dataclasses.dataclass(frozen=True)
class Preprocess:
    images: PreprocessImages = section(PreprocessImages)
    text: PreprocessText = section(PreprocessText)
    sequences: PreprocessSequences = section(PreprocessSequences)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Ranges of random per-image changes, of which 0 switches one off; and how images are resampled."""

    rotation: float = setting(10.0, "largest rotation either way, degrees", at_least=0, at_most=180)
    shift: float = setting(0.1, "largest shift either way, share of the side", at_least=0, at_most=0.5)
    scale: float = setting(0.0, "largest relative change of size", at_least=0, below=1)
    shear: float = setting(0.0, "largest slant either way, degrees", at_least=0, at_most=80)
    interpolation: str = setting(
        "bilinear",
        "how moved images are resampled; `bicubic` blurs less",
        choices=("bilinear", "bicubic"),
    )
    brightness: float = setting(0.2, "largest relative change of brightness", at_least=0, at_most=1)
    contrast: float = setting(0.2, "largest relative change of contrast", at_least=0, at_most=1)
    flip: float = setting(0.0, "probability of a mirror image, left to right", at_least=0, at_most=1)
    cutout: float = setting(0.0, "side of a black square at a random place, share of the side", at_least=0, at_most=1)


@dataclasses.dataclass(frozen=True)
class Training:
    """What every training stage sets, whatever its family."""

    optimizer: str = setting(
        "adamw",
        "update rule; `muon` takes matrices and kernels, AdamW the rest",
        choices=("sgd", "adam", "adamw", "rmsprop", "muon"),
    )
    learning_rate: float = setting(0.004, "peak learning rate", above=0, at_most=10)
    weight_decay: float = setting(
        0.01,
        "weight decay of matrices and kernels: decoupled for `adamw` and `muon`, else part of the gradient",
        at_least=0,
        at_most=10,
    )
    batch_size: int = setting(64, "examples per step", at_least=2, at_most=65536)
    warmup: float = setting(0.1, "share of the steps over which the learning rate rises", at_least=0, at_most=1)
    schedule: str = setting(
        "linear", "learning rate after the warm-up: down to zero, or constant", choices=("linear", "cosine", "constant")
    )
    ema: float = setting(0.99, "decay per step of the averaged weights; 0 switches averaging off", at_least=0, below=1)
    clip: float = setting(1.0, "largest gradient norm; 0 does not clip", at_least=0)
    accumulate: int = setting(1, "batches whose gradients are averaged for one step", at_least=1, at_most=65536)
    patience: int | None = setting(
        None, "validations without a better score after which training ends early; null goes on to the end", at_least=1
    )
    keep: str = setting(
        "best",
        "weights that are kept: those of the best validation score, or the last, unless `patience` is set",
        choices=("best", "last"),
    )
    precision: str = setting(
        "float32", "numbers of forward and backward pass; weights stay float32", choices=("float32", "bfloat16")
    )
    max_seconds: float | None = setting(
        None, "benchmarks: as many steps as fit in this time; the card tells how many", above=0
    )
    steps: int = setting(280, "steps to train: the time does not grow with the data", at_least=1)
    validate_every: int = setting(70, "steps between validations", at_least=1)


def _compile() -> bool:
    return setting(
        False,
        "fuse operations by torch's compiler: the first step takes up to a minute, those after it less; "
        "for long trainings on a GPU",
    )


@dataclasses.dataclass(frozen=True)
class TrainCnn(Training):
    network: str = setting(
        "compact",
        "`compact` fits any image; `reference` is the textbook's, for 48×48×3",
        choices=("compact", "reference"),
    )
    width: int = setting(64, "channels of the first convolution of `compact`", at_least=4, at_most=512)
    stem: str = setting(
        "strided",
        "how `compact` takes images of 16 pixels and more: at half their side, or whole, for several times the work",
        choices=("strided", "plain"),
    )
    activation: str = setting(
        "relu",
        "what follows each convolution",
        choices=("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh"),
    )
    dropout: float = setting(0.2, "dropout before the classifier", at_least=0, below=1)
    loss: str = setting(
        "cross_entropy",
        "what is made small; the last two take one-hot targets",
        choices=("cross_entropy", "binary_cross_entropy", "mean_squared_error"),
    )
    keep: str = retuned(Training, "keep", "last")
    precision: str = retuned(Training, "precision", "bfloat16")
    steps: int = retuned(Training, "steps", 800)
    validate_every: int = retuned(Training, "validate_every", 50)
    epochs: int | None = setting(
        None, "passes over the training examples, in whole batches; overrides `steps`", at_least=1
    )
    label_smoothing: float = setting(0.05, "share of the target spread over all classes", at_least=0, below=1)
    compile: bool = _compile()
    augmentation: Augmentation = section(Augmentation)


@dataclasses.dataclass(frozen=True)
class TrainRnn(Training):
    cell: str = setting("gru", "recurrent cell", choices=("gru", "lstm", "rnn", "mingru"))
    hidden_size: int = setting(128, "units per layer and direction", at_least=1, at_most=4096)
    layers: int = setting(2, "stacked recurrent layers", at_least=1, at_most=16)
    bidirectional: bool = setting(True, "read the sequence both ways")
    pooling: str = setting(
        "last", "which states are classified: the last, or the mean or largest of all", choices=("last", "mean", "max")
    )
    dropout: float = setting(0.2, "dropout between layers and before the classifier", at_least=0, below=1)
    token_dropout: float = setting(0.3, "share of a text's tokens that are hidden while training", at_least=0, below=1)
    steps: int = retuned(Training, "steps", 500)
    validate_every: int = retuned(Training, "validate_every", 50)
    epochs: int | None = setting(
        None, "passes over the training examples, in whole batches; overrides `steps`", at_least=1
    )
    augmentation: Augmentation = section(Augmentation)


@dataclasses.dataclass(frozen=True)
class TrainLm(Training):
    architecture: str = setting(
        "decoder",
        "causal Transformer, Transformer that fills holes in text, or recurrent network",
        choices=("decoder", "encoder-decoder", "lstm", "gru"),
    )
    position: str = setting(
        "rotary", "positional encoding of a Transformer", choices=("rotary", "sinusoidal", "learned", "none")
    )
    context: int = setting(128, "tokens the model sees at once", at_least=2, at_most=65536)
    width: int = setting(128, "features per token", at_least=8, at_most=8192)
    layers: int = setting(
        4, "Transformer blocks (of encoder and decoder each), recurrent layers", at_least=1, at_most=128
    )
    heads: int = setting(4, "attention heads; divides `width`", at_least=1, at_most=128)
    ngrams: int = setting(
        32768, "decoder: rows of the tables for pairs and triples of tokens; 0 for none", at_least=0, at_most=2**24
    )
    convolution: int = setting(
        3, "decoder: tokens before a token that short convolutions mix in; 0 for none", at_least=0, at_most=64
    )
    corruption: float = setting(0.3, "encoder-decoder: share of a window's tokens in holes", above=0, at_most=0.5)
    span: float = setting(4.0, "encoder-decoder: mean tokens in a hole", at_least=1, at_most=64)
    continuation: float = setting(
        0.5, "encoder-decoder: share of the batches whose windows miss all from some place on", at_least=0, at_most=1
    )
    dropout: float = setting(0.0, "dropout after attention and feed-forward", at_least=0, below=1)
    optimizer: str = retuned(Training, "optimizer", "muon")
    learning_rate: float = retuned(Training, "learning_rate", 0.01)
    weight_decay: float = retuned(Training, "weight_decay", 0.05)
    batch_size: int = retuned(Training, "batch_size", 16)
    precision: str = retuned(Training, "precision", "bfloat16")
    steps: int = retuned(Training, "steps", 400)
    validate_every: int = retuned(Training, "validate_every", 100)
    compile: bool = _compile()


@dataclasses.dataclass(frozen=True)
class TrainDiffusion(Training):
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
    precision: str = retuned(Training, "precision", "bfloat16")
    steps: int = retuned(Training, "steps", 700)
    validate_every: int = retuned(Training, "validate_every", 140)
    compile: bool = _compile()


@dataclasses.dataclass(frozen=True)
class EvaluateLm:
    confusion_tokens: int = setting(
        20, "most frequent tokens with a row of their own in the confusion matrix", at_least=2, at_most=100
    )


@dataclasses.dataclass(frozen=True)
class EvaluateDiffusion:
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


@dataclasses.dataclass(frozen=True)
class Evaluate:
    batch_size: int = setting(
        256,
        "examples scored or drawn at once; `ddpm`, and `rejection` without a matcher, draw others with another size",
        at_least=1,
        at_most=65536,
    )
    lm: EvaluateLm = section(EvaluateLm)
    diffusion: EvaluateDiffusion = section(EvaluateDiffusion)


@dataclasses.dataclass(frozen=True)
class Params:
    """The whole of `params.yaml`."""

    seed: int = setting(0, "seed of every random choice but the splits", at_least=0, below=2**32)
    runtime: Runtime = section(Runtime)
    download: Download = section(Download)
    preprocess: Preprocess = section(Preprocess)
    train_cnn: TrainCnn = section(TrainCnn)
    train_rnn: TrainRnn = section(TrainRnn)
    train_lm: TrainLm = section(TrainLm)
    train_diffusion: TrainDiffusion = section(TrainDiffusion)
    evaluate: Evaluate = section(Evaluate)

    def contradictions(self) -> Iterator[str]:
        """What is wrong between settings that are right one by one."""
        if self.preprocess.images.channels == 2:
            yield "preprocess.images.channels: found 2, allowed is 1 or 3, or null"
        images = self.preprocess.images
        if self.train_cnn.network == "reference" and (images.size, images.channels) != (48, 3):
            yield (
                "train_cnn.network: found `reference`, which takes 48×48 RGB images: set preprocess.images.size = 48 "
                f"(found {_yaml(images.size)}) and preprocess.images.channels = 3 (found {_yaml(images.channels)})"
            )
        objective, sampler = self.train_diffusion.objective, self.evaluate.diffusion.sampler
        if (objective == "flow") != (sampler in ("euler", "heun")):
            fitting = "euler, heun" if objective == "flow" else "ddim, ddpm"
            yield f"evaluate.diffusion.sampler: found {sampler!r}, allowed for the objective {objective!r} is {fitting}"
        drawing = self.evaluate.diffusion
        if self.train_diffusion.caption_dropout == 0 and drawing.guidance != 1:
            yield (
                f"evaluate.diffusion.guidance: found {drawing.guidance}, which asks the network without a caption; "
                "with train_diffusion.caption_dropout = 0, which never trains that, allowed is 1"
            )
        if self.train_diffusion.caption_dropout == 0 and drawing.rejection and not self.train_diffusion.matcher:
            yield (
                f"evaluate.diffusion.rejection: found {drawing.rejection}, which asks the network without a caption; "
                "with train_diffusion.caption_dropout = 0 it takes train_diffusion.matcher = true"
            )
        if self.train_diffusion.width % 8:
            yield f"train_diffusion.width: found {self.train_diffusion.width}, allowed is a multiple of 8"
        if self.train_diffusion.width % self.train_diffusion.norm_groups:
            yield (
                f"train_diffusion.norm_groups: found {self.train_diffusion.norm_groups}, which does not divide "
                f"train_diffusion.width = {self.train_diffusion.width}"
            )
        if self.train_lm.compile and self.train_lm.architecture != "decoder":
            yield (
                f"train_lm.compile: found true; a network of architecture {self.train_lm.architecture!r}, whose steps "
                "follow each other or whose batches differ in length, gains nothing by it; allowed is false"
            )
        image, text = self.train_diffusion, self.train_lm
        attending = {"train_diffusion.text_": (image.text_width, image.text_heads, "sinusoidal")}
        if text.architecture in ("decoder", "encoder-decoder"):
            attending["train_lm."] = (text.width, text.heads, text.position)
        for name, (width, heads, position) in attending.items():
            if width % heads:
                yield f"{name}heads: found {heads}, which does not divide {name}width = {width}"
            elif position == "rotary" and (width // heads) % 2:
                yield f"{name}width: found {width}, allowed with rotary positions is an even number per head"
            elif position == "sinusoidal" and width % 2:
                yield f"{name}width: found {width}, allowed with sinusoidal positions is an even number"


def _yaml(value: object) -> str:
    return "null" if value is None else str(value)
