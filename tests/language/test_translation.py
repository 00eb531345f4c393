"""Translation: batches of pairs, greedy and beam search, what a trained translator answers, its evaluation."""

import dataclasses
import json
import random
from pathlib import Path

import pandas as pd
import pytest
import torch
from family_plans import CPU, trained
from in_process import quartet
from networks import build
from torch import nn
from typer.testing import CliRunner

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput, BadRequest
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import save_model
from quartet.artifacts.time_limits import TimeLimitReached, time_limit
from quartet.artifacts.writing import read_json, write_json
from quartet.datasets.tokenizers import load_tokenizer
from quartet.language import begun, one_line
from quartet.language.evaluation import evaluate
from quartet.language.networks.encoder_decoder import SENTINELS
from quartet.language.preparation import prepare_text
from quartet.language.serving import TextGenerator
from quartet.language.settings import EvaluateLm, PreprocessText, TrainLm
from quartet.language.sources import download_text
from quartet.language.training import plan
from quartet.language.translation import decoding, scores
from quartet.language.translation.decoding import Search, beam_search, greedy, translate
from quartet.language.translation.evaluation import evaluate_translation
from quartet.language.translation.pairs import (
    PADDING,
    EncodedPairs,
    TokenBatches,
    encoded_pairs,
    round_length,
    sources_batch,
    training_batch,
)
from quartet.language.translation.scores import nearest_targets, signatures, translation_scores, words_of
from quartet.language.translation.scoring import predicting, score_pairs

SIDES = ("source", "target")
EVALUATED = {"languages": ("en", "de"), "batch_size": 64}
WORDS = {"a dog": "ein Hund", "a cat": "eine Katze", "a horse": "ein Esel", "a man": "ein Mann"}
VERBS = {"sees": "sieht", "hears": "hört", "draws": "malt", "finds": "findet"}
PLACES = {"": "", " in the garden": " im Garten", " in the house": " im Haus", " at night": " nachts"}


def sentences():
    """Every sentence of a small grammar, in English and German, shuffled."""
    found = []
    for first, erster in WORDS.items():
        for verb, werb in VERBS.items():
            for second, zweiter in WORDS.items():
                for place, ort in PLACES.items():
                    german = f"{erster} {werb} {zweiter.replace('ein ', 'einen ')}{ort}"
                    found.append(
                        (f"{first} {verb} {second}{place}.".capitalize(), german[0].upper() + german[1:] + ".")
                    )
    random.Random(0).shuffle(found)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sentences, prepared in the folder `text`."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = [{"translation": {"en": source, "de": target}} for source, target in sentences()]
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "raw/manifest.json", download_text(f"pairs:{folder / 'own.jsonl'}", Fetching(), folder / "raw"))
    prepare_text(folder / "raw", folder / "text", PreprocessText(vocabulary_size=400))
    return folder


def translation_plan(data, device, **settings):
    """Settings and the plan of a small training on the sentences."""
    small = TrainLm(
        architecture="encoder-decoder",
        precision="float32",
        batch_size=4,
        context=32,
        width=32,
        layers=1,
        heads=2,
        learning_rate=0.02,
        label_smoothing=0.1,
        steps=3,
    )
    chosen = dataclasses.replace(small, **settings)
    folder = data / "text"
    return chosen, plan(chosen, seed=0, folder=folder, info=read_json(folder / "info.json"), device=device)


@pytest.fixture(scope="module")
def model(data):
    """A model that has learnt most of the grammar."""
    _, planned = translation_plan(data, CPU)
    info = read_json(data / "text/info.json")
    described = {name: info[name] for name in (*planned.card_keys, "source", "sha256")}
    weights = trained(translation_plan, data, steps=160, validate_every=160).weights
    about = {"network": planned.description, "data": described, "training": {}, "files": planned.model_files.values()}
    save_model(data / "model", weights, family="lm", **about)
    return data / "model"


@pytest.fixture
def workspace(data, model, tmp_path, monkeypatch):
    """A folder with the model and its data, in which commands run."""
    monkeypatch.chdir(tmp_path)
    for target, place in ((paths.processed("text"), data / "text"), (paths.model("lm"), model)):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(place)
    (tmp_path / "params.yaml").write_text("{}\n")
    return tmp_path


def run(*words):
    return CliRunner().invoke(quartet, [*map(str, words)])


def random_network(seed=0, vocabulary_size=30, context=16):
    """Weights far from zero, so that what is written differs from source to source."""
    torch.manual_seed(seed)
    sizes = {
        "vocabulary_size": vocabulary_size,
        "context": context,
        "width": 32,
        "layers": 2,
        "heads": 4,
        "dropout": 0.1,
    }
    network = build({"name": "encoder-decoder", "position": "rotary", **sizes}).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.25)
    return network


def random_sources(count=12, seed=0):
    torch.manual_seed(seed)
    return [torch.randint(30, (length,)) for length in torch.randint(1, 14, (count,)).tolist()]


def ids(found):
    return [[each.tokens for each in hypotheses] for hypotheses in found]


def test_batches_hold_every_pair_once_and_little_padding(data):
    pairs = encoded_pairs(data / "text", "train")
    batches = TokenBatches(pairs, 256, seed=0)
    epochs = [
        [batches.indices(epoch * batches.steps_per_epoch + step) for step in range(batches.steps_per_epoch)]
        for epoch in range(2)
    ]
    for epoch in epochs:
        assert sorted(number for batch in epoch for number in batch) == list(range(len(pairs)))
    assert epochs[0] != epochs[1]
    tokens, places = 0, 0
    for batch in epochs[0]:
        read, mask, written, wanted = training_batch(pairs, batch, 400)
        assert max(read.numel(), written.numel()) <= 256
        tokens, places = (
            tokens + int(mask.sum()) + int((wanted != PADDING).sum()),
            places + read.numel() + wanted.numel(),
        )
    assert tokens >= 0.9 * places


def test_a_batch_needs_no_earlier_one(data):
    pairs = encoded_pairs(data / "text", "train")
    used = TokenBatches(pairs, 256, seed=3)
    for step in range(40):
        expected = used.indices(step)
    assert TokenBatches(pairs, 256, seed=3).indices(39) == expected


def test_padding_changes_no_score():
    network, sources, targets = random_network(), random_sources(6), random_sources(6, seed=1)
    pairs = EncodedPairs(sources, targets)
    together, wanted = predicting(network, training_batch(pairs, range(6), 30))
    alone = [predicting(network, training_batch(pairs, [number], 30)) for number in range(6)]
    torch.testing.assert_close(together, torch.cat([logits for logits, _ in alone]), rtol=1e-4, atol=1e-4)
    assert wanted.tolist() == [token for _, each in alone for token in each.tolist()]
    summed = sum(
        score_pairs(network, EncodedPairs([s], [t]), CPU)["nats"] for s, t in zip(sources, targets, strict=True)
    )
    assert score_pairs(network, pairs, CPU)["nats"] == pytest.approx(summed, rel=1e-5)


def test_a_pair_is_scored_as_without_any_padding():
    network = random_network()
    for source, target in zip(random_sources(), random_sources(seed=1), strict=True):
        padded, wanted = predicting(network, training_batch(EncodedPairs([source], [target]), [0], 30))
        past = network.encode(torch.cat([source, torch.tensor([30])])[None])
        logits, _ = network.decode(torch.cat([torch.tensor([30]), target])[None], past)
        torch.testing.assert_close(padded, logits[0], rtol=1e-4, atol=1e-4)
        assert wanted.tolist() == [*target.tolist(), 31]


def test_batches_have_few_shapes_and_fit_the_positions():
    rng, context = random.Random(0), 300
    lengths = [(context, context), *((rng.randint(1, context), rng.randint(1, context)) for _ in range(2000))]
    pairs = EncodedPairs(
        *([torch.zeros(length, dtype=torch.long) for length in side] for side in zip(*lengths, strict=True))
    )
    batches = TokenBatches(pairs, 4 * context, seed=0)
    found = [training_batch(pairs, batches.indices(step), 30) for step in range(batches.steps_per_epoch)]
    assert max(max(batch[0].shape[1], batch[2].shape[1]) for batch in found) <= context + SENTINELS
    sides = {batch[side].shape[1] for batch in found for side in (0, 2)}
    assert len(sides) < 30 and all(round_length(side) == side for side in sides)


def test_what_stands_in_the_padding_changes_nothing():
    network = random_network()
    read, mask = sources_batch(random_sources(6), 30)
    assert not mask.all()
    other = torch.where(mask, read, torch.randint_like(read, 30))
    assert not torch.equal(read, other)
    opened = torch.full((6, 1), 30)
    first, _ = network.decode(opened, network.encode(read, mask))
    second, _ = network.decode(opened, network.encode(other, mask))
    torch.testing.assert_close(first, second)
    unmasked, _ = network.decode(opened, network.encode(read))
    assert not torch.allclose(first, unmasked, atol=1e-3)


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_source_is_translated_the_same_alone_and_in_a_batch(beam, seed):
    network, sources = random_network(seed), random_sources(12, seed)
    search = Search(beam=beam, best=beam)
    together = translate(network, sources, search)
    assert ids(together) == [ids(translate(network, [source], search))[0] for source in sources]
    assert len({tuple(hypotheses[0].tokens) for hypotheses in together}) > 6


@pytest.mark.parametrize("beam", [1, 4])
def test_the_cache_changes_no_translation(beam):
    network, sources = random_network(), random_sources()
    search = Search(beam=beam, best=beam)
    assert ids(translate(network, sources, search)) == ids(
        translate(network, sources, dataclasses.replace(search, cached=False))
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_one_is_greedy(seed):
    network, sources, search = random_network(seed), random_sources(12, seed), Search(beam=1)
    one, other = greedy(network, sources, search), beam_search(network, sources, search)
    assert ids(one) == ids(other)
    for first, second in zip(one, other, strict=True):
        assert first[0].score == pytest.approx(second[0].score, rel=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_scores_are_those_of_the_tokens(penalty):
    network, sources = random_network(), random_sources()
    for source, hypotheses in zip(sources, translate(network, sources, Search(5, penalty, 5)), strict=True):
        scores = [each.score for each in hypotheses]
        assert len(hypotheses) == 5 and scores == sorted(scores, reverse=True)
        assert len({tuple(each.tokens) for each in hypotheses}) == 5
        for each in hypotheses:
            written = torch.tensor([[30, *each.tokens, 31][: network.context + 1]])
            read, mask = sources_batch([source], 30)
            logits, _ = network.decode(written[:, :-1], network.encode(read, mask))
            logits = logits[0, :, :32].index_fill(1, torch.tensor([30]), -torch.inf)
            costs = logits.log_softmax(1).gather(1, written[0, 1:, None])
            cut = len(each.tokens) == min(network.context, 2 * len(source) + 16)
            total, length = (costs[: len(each.tokens)] if cut else costs).sum().item(), len(each.tokens) + (not cut)
            assert each.score == pytest.approx(total / length**penalty, rel=1e-3)


def test_a_wider_beam_finds_likelier_translations():
    network, sources = random_network(), random_sources(40)
    best = [
        sum(hypotheses[0].score for hypotheses in translate(network, sources, Search(beam, 1.0))) for beam in (1, 8)
    ]
    assert best[1] > best[0]


def test_a_small_grammar_is_learnt(data, model):
    generator = TextGenerator(model, {"tokenizer": data / "text/tokenizer.json"})
    sources, references = ((data / f"text/test.{side}.txt").read_text().splitlines() for side in SIDES)
    answers = generator.predict(sources, {"beam": 4, "length_penalty": 1.0})
    assert translation_scores(answers, references)["bleu"] > 60
    assert generator.interface(generator.card).inputs.name == "source"
    with pytest.raises(ValueError, match="no text"):
        generator.predict([" "], {"beam": 1, "length_penalty": 1.0})
    with pytest.raises(ValueError, match="at most 32"):
        generator.predict(["a dog sees a cat " * 20], {"beam": 1, "length_penalty": 1.0})


def test_an_evaluation_compares_with_baselines_and_shows_what_was_read(workspace):
    scores = evaluate(EvaluateLm(beam=3), folder=paths.report("lm"), batch_size=8, seed=0, device=CPU)
    assert scores["bleu"] > scores["baseline_nearest_bleu"] > scores["baseline_copy_bleu"]
    assert scores["chrf"] > scores["baseline_nearest_chrf"] and 0 <= scores["exact_match"] <= 1
    folder = paths.report("lm") / "evaluation"
    for name in ("alignment", "baselines", "scores_by_length"):
        assert (folder / f"{name}.png").stat().st_size > 5000
    said = (folder / "samples.txt").read_text()
    assert said.startswith("Translations from en to de\n")
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in said and "chrF: nrefs:1|case:mixed" in said
    assert (paths.report("lm") / "confusion.png").exists()
    table = (folder / "translations.csv").read_text().splitlines()
    assert len(table) == 1 + scores["test_pairs"]


def test_an_evaluation_says_which_pairs_are_too_long(data, tmp_path, capsys):
    tokenizer = load_tokenizer(data / "text/tokenizer.json")
    network = random_network(vocabulary_size=400, context=8)
    evaluate_translation(network, tokenizer, data / "text", tmp_path, EvaluateLm(beam=1), CPU, **EVALUATED)
    lengths = encoded_pairs(data / "text", "test")
    cut = sum(len(source) > 8 for source in lengths.sources)
    assert 0 < cut < len(lengths)
    said = capsys.readouterr().out
    assert f"of {cut} of {len(lengths)} sources only the first 8 tokens are translated" in said
    assert f"leave out {len(lengths) - len(lengths.no_longer_than(8))} of {len(lengths)} pairs" in said


def test_an_evaluation_of_pairs_that_are_all_too_long_scores_their_beginnings(data, tmp_path, capsys):
    tokenizer = load_tokenizer(data / "text/tokenizer.json")
    network = random_network(vocabulary_size=400, context=2)
    assert not len(encoded_pairs(data / "text", "test").no_longer_than(2))
    scores, actual, _ = evaluate_translation(
        network, tokenizer, data / "text", tmp_path, EvaluateLm(beam=1), CPU, **EVALUATED
    )
    assert scores["loss"] > 0 and len(actual) == 3 * scores["test_pairs"]  # two tokens and the end of each
    assert "loss and accuracy are of the first 2 tokens" in capsys.readouterr().out


def test_scores_are_those_of_sacrebleu_and_the_nearest_source_is_found():
    references = ["ein Hund sieht eine Katze im Garten.", "zwei Männer."]
    perfect = translation_scores(references, references)
    assert perfect["bleu"] == pytest.approx(100) and perfect["chrf"] == 100 and perfect["exact_match"] == 1
    assert translation_scores(["Ein Hund sieht eine Katze im Garten.", "zwei Männer."], references)["bleu"] < 100
    train = (["a dog runs", "two men sit on a bench"], ["ein Hund rennt", "zwei Männer sitzen"])
    assert nearest_targets(train, ["men on a bench", "the dog"]) == ["zwei Männer sitzen", "ein Hund rennt"]


JAPANESE = ["犬が庭で猫を見る。", "二人の男がベンチに座っている。", "女の人が歌を歌う。"]
CHINESE = ["一只狗在花园里看见一只猫。", "两个男人坐在长椅上。", "一个女人在唱歌。"]


@pytest.mark.parametrize(("texts", "words"), [(["Zwei Männer."], "13a"), (CHINESE, "zh"), (JAPANESE, "char")])
def test_words_without_spaces_are_found(texts, words):
    assert words_of([*texts, "iPhone 16"]) == words and f"tok:{words}" in signatures(words)[0]


@pytest.mark.parametrize("texts", [CHINESE, JAPANESE])
def test_scores_and_baselines_of_languages_without_spaces(texts):
    nearly = [text[:-2] + "。" for text in texts]
    assert 50 < translation_scores(nearly, texts)["bleu"] < 100  # of words between spaces: 0
    assert nearest_targets((texts, ["a", "b", "c"]), nearly) == ["a", "b", "c"]


def test_the_nearest_pair_is_looked_for_among_an_even_sample(monkeypatch):
    monkeypatch.setattr(scores, "MOST_KNOWN", 2)
    train = ([f"dog number {number}" for number in range(6)], list("abcdef"))
    assert set(nearest_targets(train, ["dog number 0", "dog number 3"])) == {"a", "d"}


def test_an_evaluation_says_which_translations_have_no_end(data, tmp_path, capsys):
    tokenizer = load_tokenizer(data / "text/tokenizer.json")
    size = tokenizer.get_vocab_size()
    network = random_network(vocabulary_size=size, context=16)
    with torch.no_grad():
        network.embedding.weight[size:] = 0.0  # some word is always more likely than an end
    evaluate_translation(network, tokenizer, data / "text", tmp_path, EvaluateLm(beam=1), CPU, **EVALUATED)
    assert "translations greedily are cut, for want of an end" in capsys.readouterr().out


def test_a_long_source_is_read_with_fewer_beside_it(monkeypatch):
    network, sources = random_network(context=64), [torch.arange(length) % 9 for length in (3, 60, 7, 5)]
    expected = translate(network, sources, Search(beam=2))
    encode, seen = network.encode, []
    monkeypatch.setattr(network, "encode", lambda read, mask: seen.append(len(read)) or encode(read, mask))
    monkeypatch.setattr(decoding, "READ_TOKENS", 61 * 4)
    found = translate(network, sources, Search(beam=2))
    assert max(seen) == 2 and [each[0].tokens for each in found] == [each[0].tokens for each in expected]


@pytest.mark.parametrize("beam", [1, 3])
def test_a_translation_that_takes_too_long_ends(beam):
    with pytest.raises(TimeLimitReached), time_limit(0):
        translate(random_network(), [torch.tensor([1, 2])], Search(beam))


@pytest.mark.parametrize("penalty", [-1.0, 6.0, float("nan"), float("inf")])
def test_a_length_penalty_out_of_range_is_refused(penalty):
    with pytest.raises(BadRequest, match=r"length_penalty: found .*, allowed is 0 to 5"):
        translate(random_network(), [torch.tensor([1, 2])], Search(2, penalty))


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "  "])
def test_white_space_is_read_as_in_training(model, data, space):
    translator = TextGenerator(model, {"tokenizer": data / "text/tokenizer.json"}).translator
    text = f"A dog{space}sees a cat."
    (pairs,) = {one_line(text)}
    tokens = translator.tokenizer.encode(begun(pairs)).ids
    assert translator._encoded(f" {text}\n").tolist() == tokens and space in translator.tokenizer.decode(tokens)


@pytest.mark.parametrize("architecture", ["decoder", "gru"])
def test_pairs_take_an_encoder_decoder(data, architecture):
    with pytest.raises(BadInput, match=r"train_lm.architecture: found .* 'encoder-decoder'"):
        translation_plan(data, CPU, architecture=architecture)


def test_settings_of_running_text_are_named_for_pairs(data, capsys):
    translation_plan(data, CPU, span=8.0, label_smoothing=0.2, ngrams=0)
    said = capsys.readouterr().out
    assert "train_lm.span: not used by pairs" in said
    assert "train_lm.ngrams: not used by architecture encoder-decoder" in said


def test_pairs_longer_than_the_context_are_left_out_and_said(data, capsys):
    translation_plan(data, CPU, context=7)
    assert "pairs have more than 7 tokens and are not used" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"train_lm.context: found 2, but every pair of train is longer"):
        translation_plan(data, CPU, context=2)


def test_a_text_is_translated_on_the_shell(workspace):
    source, target = ((paths.processed("text") / f"train.{s}.txt").read_text().split("\n")[0] for s in SIDES)
    done = run("translate", source, "--best", "3")
    lines = done.output.splitlines()
    assert done.exit_code == 0 and len(lines) == 3
    assert [float(line.split()[0]) for line in lines] == sorted((float(x.split()[0]) for x in lines), reverse=True)
    only = run("translate", source).output
    assert only.strip() == lines[0].split("  ")[-1] and set(only.split()) & set(target.split())
    Path("params.yaml").write_text("evaluate: {lm: {beam: 2}}\n")
    assert "which is 2" in run("translate", source, "--best", "3").stderr
    for words, message in ((("--best", "9"), "allowed is 1 to the beam"), ((), "no text")):
        refused = run("translate", source if words else " ", *words)
        assert refused.exit_code in (1, 2) and message in refused.stderr
    for words in (("generate", "a"), ("score", "params.yaml")):
        refused = run(*words)
        assert refused.exit_code == 2 and "was trained on pairs" in refused.stderr


def test_a_file_is_translated_and_scored_where_the_targets_are_known(workspace):
    texts = [(paths.processed("text") / f"test.{side}.txt").read_text().splitlines()[:12] for side in SIDES]
    (workspace / "sources.txt").write_text("".join(f"{source}\n" for source in texts[0]))
    pd.DataFrame(dict(zip(SIDES, texts, strict=True))).to_csv(workspace / "pairs.csv", index=False)
    done = run("predict", "lm", "sources.txt", "--out", "a.csv", "--with", "beam=2")
    assert done.exit_code == 0, done.output
    done = run("predict", "lm", "pairs.csv", "--out", "b.csv", "--with", "beam=2")
    first, second = pd.read_csv("a.csv"), pd.read_csv("b.csv")
    assert first["text"].tolist() == second["text"].tolist() and second["label"].tolist() == texts[1]
    scores = translation_scores(second["text"].tolist(), texts[1])
    assert f"bleu {scores['bleu']:.6g}" in done.output and "chrf" in done.output
