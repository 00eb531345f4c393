"""Translation compared with `transformers`: `python -m benchmarks.translation --mirror ../shared/data`.

Trains on Multi30k (English to German), in one run and for the same time: our encoder-decoder with the preset
`translation-20min`, and a Marian encoder-decoder of the same size, from nothing, with `Seq2SeqTrainer`. Both read the
same tokens, with the same label smoothing, dropout, precision and number of tokens per step. Measures BLEU and chrF on
the test split by greedy decoding and by beam search, target tokens per second in training, sentences per second in
greedy decoding, and peak memory. Writes `translation.csv` and `translation.md` into `reports/benchmarks`. Takes 45
minutes on 2 cores; `--seconds` shortens it, though a network that has learnt little writes long translations.
`--split validation` scores the validation split, on which recipes are chosen, such as the peer's `--peer-rate`.
"""

import dataclasses
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.language import download_and_preprocess
from benchmarks.measuring import in_own_process
from quartet.artifacts.fetching import Fetching
from quartet.language.settings import TrainLm
from quartet.params.shared import Runtime
from quartet.settings import preset

OURS, PEER = "ours", "transformers' Seq2SeqTrainer"
PRESET, SEED, BEAM = "translation-20min", 0, 5
AT_ONCE = 128  # sentences that the peer decodes at once


def main(
    mirror: Annotated[
        str | None, typer.Option(help="Folder or URL with Multi30k; by default its official site.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of training, for each.", min=1)] = 1200.0,
    split: Annotated[str, typer.Option(help="Which split to score: test or validation.")] = "test",
    peer_rate: Annotated[float, typer.Option(help="The peer's peak learning rate.", min=0)] = 0.001,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("reports/benchmarks"),
) -> None:
    """Run the benchmark and write the tables."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a comparison on the CPU
    from quartet.artifacts.writing import write_table, write_text

    settings = preset(PRESET)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text")
        download_and_preprocess("multi30k", Fetching(mirror=mirror), settings.preparation("text"), text)
        for arm, function, chosen in ((OURS, measure_ours, ()), (PEER, measure_peer, (peer_rate,))):
            scores, memory = in_own_process(function, text, settings.training("lm"), seconds, split, *chosen)
            rows.append({"arm": arm, **scores, "memory": memory})
            seconds = scores["seconds"]  # ours estimates its number of steps; the peer gets the time that these took
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    write_table(out / "translation.csv", table.round(4))
    write_text(out / "translation.md", summary(table))
    print((out / "translation.md").read_text())


def measure_ours(text: Path, settings: TrainLm, seconds: float, split: str) -> dict[str, float]:
    """Train in our loop for about `seconds`, and score translations."""
    from benchmarks.measuring import scores_over_time
    from quartet.artifacts.writing import read_json
    from quartet.datasets.tokenizers import load_tokenizer
    from quartet.language.training import describe_network
    from quartet.language.translation.decoding import Search, translate
    from quartet.language.translation.pairs import encoded_pairs
    from quartet.language.translation.training import TranslationTraining
    from quartet.language.translation.translator import Translator
    from quartet.training.devices import pick_device
    from quartet.training.seeding import seed_everything
    from quartet.training.steps import steps_within_time

    device, info = pick_device(Runtime()), read_json(text / "info.json")
    seed_everything(SEED)
    training = TranslationTraining(settings, text, describe_network(settings, info), device, seed=SEED)
    kept = {}

    def keep(network):
        kept["network"] = network
        return {"score": 0.0, "loss": 0.0}

    task = dataclasses.replace(training.task(), validate=keep)
    steps = steps_within_time(task, dataclasses.replace(settings, max_seconds=seconds), SEED, device)
    task = dataclasses.replace(task, steps=steps, validate_every=steps)
    ((_, taken, _),) = scores_over_time(task, settings, SEED, device)
    tokens = sum(len(training.pairs.targets[n]) + 1 for step in range(steps) for n in training.batches.indices(step))
    network, sources = kept["network"].eval(), encoded_pairs(text, split).sources
    translator = Translator(network, load_tokenizer(text / "tokenizer.json"))

    def written(beam: int) -> list[str]:
        return [translator.decoded(each[0].tokens) for each in translate(network, sources, Search(beam))]

    return _scores(text, split, written, taken, tokens)


def measure_peer(text: Path, settings: TrainLm, seconds: float, split: str, rate: float) -> dict[str, float]:
    """Train Marian of the same size with `Seq2SeqTrainer` for about `seconds`, and score translations.

    `rate` is its peak learning rate. It computes in bfloat16 where ours does.
    """
    import torch
    from transformers import MarianConfig, MarianMTModel, Seq2SeqTrainer, Seq2SeqTrainingArguments

    from quartet.artifacts.writing import read_json
    from quartet.datasets.tokenizers import load_tokenizer
    from quartet.language.translation.pairs import encoded_pairs, padded
    from quartet.training.devices import is_fast_in_bfloat16

    vocabulary = read_json(text / "info.json")["vocabulary_size"]
    end, padding = vocabulary, vocabulary + 1
    pairs = encoded_pairs(text, "train").no_longer_than(settings.context)
    started, closed = torch.tensor([padding]), torch.tensor([end])
    examples = [
        {"input_ids": torch.cat([source, closed]), "labels": torch.cat([target, closed]), "length": len(target)}
        for source, target in zip(pairs.sources, pairs.targets, strict=True)
    ]
    config = MarianConfig(
        vocab_size=vocabulary + 2,
        d_model=settings.width,
        encoder_layers=settings.layers,
        decoder_layers=settings.layers,
        encoder_attention_heads=settings.heads,
        decoder_attention_heads=settings.heads,
        encoder_ffn_dim=4 * settings.width,
        decoder_ffn_dim=4 * settings.width,
        dropout=settings.dropout,
        max_position_embeddings=settings.context + 32,
        pad_token_id=padding,
        eos_token_id=end,
        forced_eos_token_id=None,
        decoder_start_token_id=padding,
        activation_function="relu",
        scale_embedding=True,
    )

    def collate(batch: list[dict]) -> dict[str, torch.Tensor]:
        read = padded([each["input_ids"] for each in batch], padding)
        labels = padded([each["labels"] for each in batch], -100)
        # The trainer smooths labels outside the model, which then makes no decoder inputs of its own.
        written = padded([torch.cat([started, each["labels"][:-1]]) for each in batch], padding)
        mask = (read != padding).long()
        return {"input_ids": read, "attention_mask": mask, "decoder_input_ids": written, "labels": labels}

    # As many pairs as have about as many tokens as our batches.
    longest = sum(max(len(each["input_ids"]), len(each["labels"])) for each in examples) / len(examples)
    batch_size = round(settings.batch_size * settings.context / longest)

    def trained(steps: int) -> tuple[MarianMTModel, float]:
        torch.manual_seed(SEED)
        model = MarianMTModel(config)
        with tempfile.TemporaryDirectory() as folder:
            arguments = Seq2SeqTrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                train_sampling_strategy="group_by_length",
                length_column_name="length",
                label_smoothing_factor=settings.label_smoothing,
                max_steps=steps,
                learning_rate=rate,
                lr_scheduler_type="linear",
                warmup_steps=steps // 10,
                adam_beta2=0.98,
                remove_unused_columns=False,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
                bf16=is_fast_in_bfloat16(torch.device("cpu")),
                seed=SEED,
            )
            trainer = Seq2SeqTrainer(model=model, args=arguments, train_dataset=examples, data_collator=collate)
            start = time.perf_counter()
            trainer.train()
            taken = time.perf_counter() - start
        # Out of training's bfloat16, in which a CPU compiles each step of a growing cache anew, for minutes.
        return trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval(), taken

    trained(2)  # imports, and warms up
    timed = math.ceil(len(examples) / batch_size)  # an epoch: the trainer sorts groups of batches, longest first
    _, taken = trained(timed)
    steps = max(1, int(seconds / (taken / timed)))
    model, taken = trained(steps)
    mean = sum(len(each["labels"]) for each in examples) / len(examples)
    tokenizer, sources = load_tokenizer(text / "tokenizer.json"), encoded_pairs(text, split).sources
    order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))

    def written(beam: int) -> list[str]:
        found = [""] * len(sources)
        for start in range(0, len(order), AT_ONCE):
            chosen = order[start : start + AT_ONCE]
            batch = padded([torch.cat([sources[number], closed]) for number in chosen], padding)
            mask = (batch != padding).long()
            ids = model.generate(
                batch, attention_mask=mask, num_beams=beam, do_sample=False, max_new_tokens=settings.context
            )
            for number, row in zip(chosen, ids.tolist(), strict=True):
                found[number] = tokenizer.decode([token for token in row if token < vocabulary]).strip()
        return found

    return _scores(text, split, written, taken, round(mean * batch_size * steps))


def _scores(text: Path, split: str, written, taken: float, tokens: int) -> dict[str, float]:
    """The scores of an arm; `written` returns its translations for a width of the beam."""
    import torch

    from quartet.language.translation.scores import translation_scores

    references = (text / f"{split}.target.txt").read_text(encoding="utf-8").split("\n")[:-1]
    with torch.inference_mode():
        written(1)  # warms up
        start = time.perf_counter()
        greedy = written(1)
        rate = len(references) / (time.perf_counter() - start)
        beam = written(BEAM)
    found, wider = translation_scores(greedy, references), translation_scores(beam, references)
    return {
        "seconds": taken,
        "tokens_per_second": tokens / taken,
        "bleu": found["bleu"],
        "chrf": found["chrf"],
        "beam_bleu": wider["bleu"],
        "beam_chrf": wider["chrf"],
        "sentences_per_second": rate,
    }


def summary(table: pd.DataFrame) -> str:
    """The table in Markdown, with our ratio to the peer's rates."""
    lines = [
        f"| arm | training | target tokens per second | BLEU, greedy | chrF, greedy | BLEU, beam {BEAM} | "
        f"chrF, beam {BEAM} | sentences per second, greedy | peak memory |",
        "|" + "---|" * 9,
    ]
    for row in table.itertuples():
        lines.append(
            f"| {row.arm} | {row.seconds:.0f} s | {row.tokens_per_second:,.0f} | {row.bleu:.1f} | {row.chrf:.1f} | "
            f"{row.beam_bleu:.1f} | {row.beam_chrf:.1f} | {row.sentences_per_second:.0f} | {row.memory:.2f} GiB |"
        )
    rates = table.set_index("arm")[["tokens_per_second", "sentences_per_second"]]
    if {OURS, PEER} <= set(rates.index):
        training, decoding = (rates.loc[OURS] / rates.loc[PEER]).tolist()
        lines += ["", f"Ours trains {training:.2f} and decodes {decoding:.2f} times as fast."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
