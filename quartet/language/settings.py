"""Settings of the language family."""

import dataclasses
from collections.abc import Iterator

from quartet.params.fields import setting, with_default
from quartet.params.shared import Preparation, Training, compile_setting, splits_setting, width_per_head

SOURCE: str = setting(
    "docstrings",
    "text for the language model: a text file, a folder of `.txt` and `.md` files, or JSON lines with a field `text`; "
    "or pairs to translate: a table, JSON lines with source and target, or a folder of parallel files",
    choices=("docstrings", "tinyshakespeare", "multi30k"),
    prefixes=("file:", "folder:", "jsonl:", "pairs:"),
)


@dataclasses.dataclass(frozen=True)
class PreprocessText(Preparation):
    """How raw text is prepared."""

    splits: str = splits_setting()
    split_seed: int = setting(
        0, "seed of the splits of text that consists of separate passages or documents", at_least=0, below=2**32
    )
    languages: str | None = setting(
        None,
        "pairs: source and target language, such as `de-en`; null takes a source's own order, or English first",
    )
    tokenizer: str = setting(
        "bpe",
        "kind of tokenizer; or the one that the language model in this folder or in the registry has, to go on from it",
        choices=("bpe", "character", "byte"),
        prefixes=("folder:", "models:/"),
    )
    vocabulary_size: int = setting(2048, "BPE vocabulary size, including the 256 bytes", at_least=256, at_most=65536)


@dataclasses.dataclass(frozen=True)
class TrainLm(Training):
    """How the language model is trained."""

    architecture: str = setting(
        "decoder",
        "decoder-only Transformer, encoder-decoder that fills holes in text, or recurrent network",
        choices=("decoder", "encoder-decoder", "lstm", "gru"),
    )
    position: str = setting(
        "rotary", "positional encoding of a Transformer", choices=("rotary", "sinusoidal", "learned", "none")
    )
    context: int = setting(128, "tokens per window", at_least=2, at_most=65536)
    width: int = setting(128, "features per token", at_least=8, at_most=8192)
    layers: int = setting(
        4, "Transformer blocks (in each of encoder and decoder), or recurrent layers", at_least=1, at_most=128
    )
    heads: int = setting(4, "attention heads; must divide `width`", at_least=1, at_most=128)
    ngrams: int = setting(
        32768, "decoder: rows of the tables for pairs and triples of tokens; 0 for none", at_least=0, at_most=2**24
    )
    convolution: int = setting(
        3, "decoder: previous tokens that short convolutions use; 0 for none", at_least=0, at_most=64
    )
    corruption: float = setting(0.3, "encoder-decoder: share of a window's tokens in holes", above=0, at_most=0.5)
    span: float = setting(4.0, "encoder-decoder: mean number of tokens in a hole", at_least=1, at_most=64)
    continuation: float = setting(
        0.5, "encoder-decoder: share of the batches with one hole that reaches to the end", at_least=0, at_most=1
    )
    label_smoothing: float = setting(
        0.0, "translation: share of the target probability that is spread over all tokens", at_least=0, below=1
    )
    dropout: float = setting(0.0, "dropout after attention and feed-forward", at_least=0, below=1)
    remember: str | None = setting(
        None,
        "with `start_from`: a text file of the kind that the model there knows, which it was not trained on; scores of "
        "it before and after the training say what is forgotten",
    )
    optimizer: str = with_default(Training, "optimizer", "muon")
    learning_rate: float = with_default(Training, "learning_rate", 0.01)
    weight_decay: float = with_default(Training, "weight_decay", 0.05)
    batch_size: int = setting(
        16,
        "windows per step; of pairs, as many as have at most `batch_size` · `context` tokens on either side",
        at_least=2,
        at_most=65536,
    )
    precision: str = with_default(Training, "precision", "auto")
    steps: int = with_default(Training, "steps", 400)
    validate_every: int = with_default(Training, "validate_every", 100)
    compile: bool = compile_setting()
    shard: bool = setting(
        False,
        "Transformer, with `runtime.processes`: each process holds a part of the weights and the optimizer's state "
        "(FSDP2), for networks that are too large for one GPU; not with `muon`",
    )

    @property
    def brings(self) -> dict[str, str]:
        """The text whose scores say what is forgotten."""
        return {"remember": self.remember} if self.remember else {}

    def conflicts(self, data: PreprocessText, evaluation: "EvaluateLm") -> Iterator[str]:
        """Widths that the heads do not divide, networks that the compiler does not speed up, nothing to forget."""
        if self.remember and not self.start_from:
            yield "train_lm.remember: compares with the model in train_lm.start_from, which is null; set both or none"
        if self.compile and self.architecture != "decoder":
            yield (
                f"train_lm.compile: found true, but compiling does not speed up architecture {self.architecture!r}, "
                "whose steps are sequential or whose batches differ in length; set it to false"
            )
        if self.shard:
            yield from self._unsharded()
        if self.architecture in ("decoder", "encoder-decoder"):
            yield from width_per_head("train_lm.", self.width, self.heads, self.position)

    def _unsharded(self) -> Iterator[str]:
        found = "train_lm.shard: found true, but"
        if self.architecture in ("lstm", "gru"):
            yield f"{found} only Transformers are sharded, not architecture {self.architecture!r}; set it to false"
        if self.optimizer == "muon":
            yield f"{found} optimizer 'muon' needs whole matrices; set train_lm.optimizer to adamw, for example"
        if self.compile:
            yield f"{found} sharded steps are not compiled; set train_lm.compile to false"
        if self.on_divergence == "rollback":
            yield f"{found} processes hold no state to go back to; set train_lm.on_divergence to stop"
        if self.max_seconds:
            yield f"{found} steps are timed on a whole network; set train_lm.steps instead of train_lm.max_seconds"


@dataclasses.dataclass(frozen=True)
class EvaluateLm:
    """How the language model is scored."""

    confusion_tokens: int = setting(
        20, "how many of the most frequent tokens the confusion matrix shows", at_least=2, at_most=100
    )
    beam: int = setting(5, "translation: hypotheses that beam search keeps; 1 is greedy", at_least=1, at_most=64)
    length_penalty: float = setting(
        1.0,
        "translation: beam search divides a log-probability by its tokens to this power",
        at_least=0,
        at_most=5,
    )
