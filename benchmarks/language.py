"""Language models compared with other recipes: `python -m benchmarks.language --mirror ../shared/data`.

Trains on tiny-shakespeare by characters, in one run: a well-known recipe for a small CPU (`small_cpu_gpt.py`), GPT-2 of
the same size with the `Trainer` of `transformers`, and our decoder, in the time that the recipe took, in ten minutes
and, with `--long`, in thirty. Measures nats per character over the last tenth of the text, in windows that do not
overlap; seconds of training only; tokens per second; peak memory; and characters per second of generation with and
without the key-value cache, and of several texts in one batch. Writes `language.csv`, `language.md` and `language.png`
into `reports/benchmarks`. Takes about twenty minutes on 2 cores, fifty with `--long`.

All train on the first nine tenths of the text; our recipes were chosen on the last twentieth of these.
"""

import dataclasses
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.measuring import in_own_process
from quartet.artifacts.fetching import Fetching
from quartet.language.settings import PreprocessText, TrainLm
from quartet.params.shared import Runtime
from quartet.settings import preset

RECIPE, PEER = "small-CPU recipe", "transformers' Trainer"
MARKS = (0.25, 0.5, 0.75, 1.0)  # shares of a training after which it is scored
LONGEST = "thirty minutes"
OURS = {
    "the recipe's time": preset("shakespeare-2min").training("lm"),
    "ten minutes": preset("shakespeare-10min").training("lm"),
    LONGEST: preset("shakespeare-30min").training("lm"),
}
SECONDS = {"ten minutes": 600.0, LONGEST: 1800.0}
GENERATED, TEXTS, ROUNDS, SEED = 256, 16, 3, 0


def main(
    mirror: Annotated[
        str | None, typer.Option(help="Folder or URL with tiny-shakespeare; by default its official site.")
    ] = None,
    long: Annotated[bool, typer.Option(help="Also train ours for thirty minutes.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the plot.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the tables and the plot."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a comparison on the CPU, for which the recipe was made
    from quartet.artifacts.writing import write_table, write_text

    with tempfile.TemporaryDirectory() as folder:
        text = prepare(mirror, Path(folder))
        points, memories = measure(text, long)
        rates = generation_rates(Path(folder, "prose"))
    table = pd.DataFrame(points)
    write_table(out / "language.csv", table)
    write_text(out / "language.md", summary(table, memories, rates))
    plot(table, out / "language.png")
    print((out / "language.md").read_text())


def prepare(mirror: str | None, folder: Path) -> Path:
    """Prepare tiny-shakespeare by characters; the validation split is added to the training split."""
    from quartet.artifacts.writing import write_bytes

    text = folder / "text"
    download_and_preprocess("tinyshakespeare", Fetching(mirror=mirror), PreprocessText(tokenizer="character"), text)
    write_bytes(text / "train.bin", (text / "train.bin").read_bytes() + (text / "validation.bin").read_bytes())
    write_bytes(text / "validation.bin", (text / "test.bin").read_bytes())
    return text


def download_and_preprocess(source: str, fetching: Fetching, how: PreprocessText, text: Path) -> dict:
    """Download and preprocess as the stages do; returns the content of `info.json`."""
    from quartet.artifacts.writing import write_json
    from quartet.language.preparation import prepare_text
    from quartet.language.sources import download_text

    raw = text.with_name(f"raw-{text.name}")
    write_json(raw / "manifest.json", download_text(source, fetching, raw))
    return prepare_text(raw, text, how)


def measure(text: Path, long: bool) -> tuple[list[dict], dict[str, float]]:
    """Train all models; returns one row per scoring, and each model's peak memory in GiB."""
    rows, memories = [], {}

    def run(arm, function, *arguments):
        points, memories[arm] = in_own_process(function, text, *arguments)
        for tokens, seconds, nats in points:
            print(f"{arm}: {nats:.4f} nats per character after {seconds:.1f} s, {tokens} tokens", flush=True)
            rows.append({"arm": arm, "tokens": tokens, "seconds": round(seconds, 2), "nats": round(nats, 5)})
        return points[-1][1]

    seconds = run(RECIPE, train_recipe)
    run(PEER, train_peer)
    for arm, settings in OURS.items():
        if arm != LONGEST or long:
            run(f"ours, {arm}", train_ours, settings, SECONDS.get(arm, seconds))
    return rows, memories


def train_recipe(text: Path) -> list[tuple[int, float, float]]:
    """Train with the recipe for a small CPU; returns `(tokens, seconds, nats per character)` at each mark."""
    import torch

    from benchmarks.small_cpu_gpt import BATCH, CONTEXT, STEPS, SmallGpt, small_cpu_training
    from quartet.artifacts.writing import read_json
    from quartet.language.windows import token_stream

    torch.manual_seed(0)
    network = SmallGpt(read_json(text / "info.json")["vocabulary_size"])
    marks = {round(STEPS * share) for share in MARKS}
    points, scoring, begin = [], 0.0, time.perf_counter()
    for step in small_cpu_training(network, token_stream(text, "train")):
        if step in marks:
            start = time.perf_counter()
            points.append((step * BATCH * CONTEXT, start - begin - scoring, nats_of(network.eval(), text)))
            network.train()
            scoring += time.perf_counter() - start
    return points


def train_peer(text: Path) -> list[tuple[int, float, float]]:
    """Train GPT-2 from `transformers`, with the recipe's size and settings, with its `Trainer`; returns the same."""
    import numpy as np
    import torch
    from torch import nn
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    from benchmarks.small_cpu_gpt import BATCH, CONTEXT, HEADS, LAYERS, PEAK, STEPS, WARMUP, WIDTH
    from quartet.artifacts.writing import read_json
    from quartet.language.windows import token_stream

    torch.manual_seed(0)
    stream = token_stream(text, "train")
    sizes = {"n_positions": CONTEXT, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
    dropouts = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    vocabulary = read_json(text / "info.json")["vocabulary_size"]
    model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, bos_token_id=0, eos_token_id=0, **sizes, **dropouts))

    class Crops(torch.utils.data.Dataset):
        def __len__(self):
            return len(stream) - CONTEXT

        def __getitem__(self, start):
            window = torch.from_numpy(stream[start : start + CONTEXT].astype(np.int64))
            return {"input_ids": window, "labels": window}

    class Logits(nn.Module):
        context = CONTEXT

        def forward(self, tokens):
            return model(tokens).logits

    points, scoring = [], 0.0

    class Score(TrainerCallback):
        def on_step_end(self, arguments, state, control, **_):
            nonlocal scoring
            if state.global_step in {round(STEPS * share) for share in MARKS}:
                start = time.perf_counter()
                model.eval()
                points.append((state.global_step * BATCH * CONTEXT, start - begin - scoring, nats_of(Logits(), text)))
                model.train()
                scoring += time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=STEPS,
            learning_rate=PEAK,
            lr_scheduler_type="cosine",
            warmup_steps=WARMUP,
            weight_decay=0.1,
            adam_beta2=0.99,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=Crops(), callbacks=[Score()])
        begin = time.perf_counter()
        trainer.train()
    return points


def train_ours(text: Path, settings: TrainLm, seconds: float) -> list[tuple[int, float, float]]:
    """Train in our loop for about `seconds`; returns `(tokens, seconds, nats per character)` at each mark."""
    from benchmarks.measuring import scores_over_time
    from quartet.artifacts.writing import read_json
    from quartet.language.training import LanguageTraining
    from quartet.training.devices import pick_device
    from quartet.training.seeding import seed_everything
    from quartet.training.steps import steps_within_time

    device, info = pick_device(Runtime()), read_json(text / "info.json")
    seed_everything(SEED)
    task = LanguageTraining(settings, text, info, device, seed=SEED).task()
    unscored = dataclasses.replace(task, validate=lambda network: {"score": 0.0})
    steps = steps_within_time(unscored, dataclasses.replace(settings, max_seconds=seconds), SEED, device)
    task = dataclasses.replace(task, steps=steps, validate_every=-(-steps // len(MARKS)))
    characters = info["counts"]["test"]["characters"]
    tokens = info["counts"]["test"]["tokens"]
    return [
        (examples * settings.context, taken, scores["loss"] * tokens / characters)
        for examples, taken, scores in scores_over_time(task, settings, SEED, device)
    ]


def nats_of(network, text: Path) -> float:
    """Nats per character over the whole test text, in windows of the network's context that do not overlap."""
    import torch

    from quartet.artifacts.writing import read_json
    from quartet.datasets.tokenizers import load_tokenizer
    from quartet.language.scoring import score_stream
    from quartet.language.windows import token_stream

    stream, tokenizer = token_stream(text, "test"), load_tokenizer(text / "tokenizer.json")
    scored = score_stream(network, stream, tokenizer, 64, torch.device("cpu"), sliding=False)
    return scored["nats"] / read_json(text / "info.json")["counts"]["test"]["characters"]


def generation_rates(folder: Path) -> dict[str, float]:
    """Characters per second that a decoder of the default size generates, with and without the key-value cache.

    `together` is the rate of `TEXTS` texts in one batch.
    """
    import torch

    from quartet.language.batch_generation import generate_together
    from quartet.language.generation import generate
    from quartet.language.networks.decoder import Decoder

    counts = download_and_preprocess("docstrings", Fetching(), PreprocessText(), folder)["counts"]["test"]
    settings = TrainLm()
    sizes = {"context": max(GENERATED, settings.context), "width": settings.width, "layers": settings.layers}
    network = Decoder(
        vocabulary_size=PreprocessText().vocabulary_size,
        heads=settings.heads,
        position=settings.position,
        dropout=0.0,
        ngrams=settings.ngrams,
        convolution=settings.convolution,
        **sizes,
    ).eval()
    prompt, rates = torch.zeros(1, 1, dtype=torch.long), {}
    generate(network, prompt, 8)  # warms up

    def alone(cached: bool) -> None:
        generate(network, prompt, GENERATED - 1, generator=torch.Generator().manual_seed(0), cached=cached)

    def together() -> None:
        generators = [torch.Generator().manual_seed(seed) for seed in range(TEXTS)]
        prompts = prompt.tolist() * TEXTS
        generate_together(network, prompts, GENERATED - 1, generators=generators, is_over=lambda number, token: False)

    arms = {"cached": (partial(alone, True), 1), "uncached": (partial(alone, False), 1), "together": (together, TEXTS)}
    for name, (write, texts) in arms.items():
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            write()
            times.append(time.perf_counter() - start)
        tokens_per_second = texts * (GENERATED - 1) / statistics.median(times)
        rates[name] = tokens_per_second * counts["characters"] / counts["tokens"]
    return rates


def summary(table: pd.DataFrame, memories: dict[str, float], rates: dict[str, float]) -> str:
    """The tables in Markdown."""
    lines = ["| arm | tokens seen | training time | tokens per second | peak memory | nats per character |"]
    lines.append("|---|---|---|---|---|---|")
    for arm, rows in table.groupby("arm", sort=False):
        last = rows.iloc[-1]
        lines.append(
            f"| {arm} | {last.tokens:,} | {last.seconds:.0f} s | {last.tokens / last.seconds:,.0f} | "
            f"{memories[arm]:.2f} GiB | {last.nats:.4f} |"
        )
    ratio = rates["cached"] / rates["uncached"]
    lines += [
        "",
        f"Generation of {GENERATED} tokens by the default decoder: {rates['cached']:,.0f} characters per second",
    ]
    lines[-1] += f" with the key-value cache, {rates['uncached']:,.0f} without ({ratio:.1f}×), "
    lines[-1] += f"{rates['together']:,.0f} of {TEXTS} texts in one batch."
    return "\n".join(lines) + "\n"


def plot(table: pd.DataFrame, path: Path) -> None:
    """Nats per character over training time."""
    from matplotlib.figure import Figure

    from quartet.reporting.drawing.figures import BLUE, GREY, ORANGE, save_figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for arm, rows in table.groupby("arm", sort=False):
        colour = {RECIPE: GREY, PEER: ORANGE}.get(arm, BLUE)
        marker = "s-" if arm == "ours, ten minutes" else "o-"
        axes.plot(rows.seconds, rows.nats, marker, color=colour, label=arm)
    axes.set(xscale="log", xlabel="training time, s", ylabel="nats per character", title="tiny-shakespeare, last tenth")
    ticks = [second for second in (30, 60, 100, 200, 400, 800, 1600) if second <= 1.2 * table.seconds.max()]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    typer.run(main)
