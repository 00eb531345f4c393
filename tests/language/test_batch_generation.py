"""Texts that are continued at once: each is the same as by itself."""

import copy
import time

import pytest
import torch
from in_process import quartet
from typer.testing import CliRunner

from quartet.artifacts.time_limits import TimeLimitReached, time_limit
from quartet.language.batch_decoding import BatchDecoder
from quartet.language.batch_generation import generate_together
from quartet.language.generation import generate, sample_token
from quartet.language.networks.decoder import Decoder
from quartet.language.networks.recurrent import RecurrentLanguageModel

LENGTHS = (3, 1, 16, 7, 40, 15, 3)  # with a context of 16: shorter, as long, longer


def decoder(*, context=16, **changes):
    """A decoder whose every weight matters."""
    described = {"vocabulary_size": 50, "context": context, "width": 16, "layers": 2, "heads": 2, "dropout": 0.0}
    described |= {"position": "rotary", "ngrams": 64, "convolution": 3, **changes}
    network = Decoder(**described).eval()
    randomness = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=randomness)
    return network


def prompts_of(network, lengths=LENGTHS):
    randomness = torch.Generator().manual_seed(2)
    return [torch.randint(0, 50, (length,), generator=randomness).tolist() for length in lengths]


def together(network, prompts, count, seeds, is_over=lambda number, token: False, **choice):
    texts = [list(prompt) for prompt in prompts]

    def written(number, token):
        texts[number].append(token)
        return is_over(number, token)

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    generate_together(network, prompts, count, generators=generators, is_over=written, **choice)
    return texts


def alone(network, prompts, count, seeds, **choice):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    asked = zip(prompts, generators, strict=True)
    return [generate(network, torch.tensor([p]), count, generator=g, **choice)[0].tolist() for p, g in asked]


@pytest.mark.parametrize(
    "changes",
    [{}, {"position": "learned", "ngrams": 0}, {"position": "sinusoidal", "convolution": 0}, {"context": 3}],
    ids=str,
)
@pytest.mark.parametrize(
    "choice", [{"temperature": 0}, {"top_p": 0.8, "top_k": 20, "repetition_penalty": 1.3}, {}], ids=str
)
def test_texts_are_the_same_alone_and_together(changes, choice):
    network = decoder(**changes)
    prompts, seeds = prompts_of(network), range(len(LENGTHS))
    assert together(network, prompts, 40, seeds, **choice) == alone(network, prompts, 40, seeds, **choice)


def test_the_logits_of_a_row_are_those_of_the_network():
    network = decoder()
    rows = BatchDecoder(network, 2)
    with torch.inference_mode():
        for row, prompt in enumerate(([4, 5, 6], [7, 8, 9, 10, 11])):
            rows.read(row, prompt)
        found = rows.advance([1, 2])
        rows.keep([1])
        found = [*found, *rows.advance([3])]
        texts = ([4, 5, 6, 1], [7, 8, 9, 10, 11, 2], [7, 8, 9, 10, 11, 2, 3])
        expected = [network(torch.tensor([text]))[0, -1] for text in texts]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_a_text_that_ends_leaves_the_others_as_they_are(monkeypatch):
    network = decoder()
    prompts, seeds = prompts_of(network), range(len(LENGTHS))
    whole = alone(network, prompts, 30, seeds)
    ends = [4 + number for number in seeds]
    seen = [0] * len(prompts)

    def is_over(number, token):
        seen[number] += 1
        return seen[number] == ends[number]

    monkeypatch.setattr(BatchDecoder, "most_rows", lambda network: 3)  # three at once, and then three, and one
    found = together(network, prompts, 30, seeds, is_over)
    assert found == [text[: len(own) + end] for text, own, end in zip(whole, prompts, ends, strict=True)]


def test_each_row_has_its_own_source_of_randomness():
    logits = torch.zeros(3, 1000)
    one = [torch.Generator().manual_seed(seed) for seed in (1, 2, 1)]
    first, second, third = sample_token(logits, generator=one).flatten().tolist()
    assert first == third != second
    assert first == sample_token(logits[:1], generator=torch.Generator().manual_seed(1)).item()


def test_the_time_is_looked_at_between_tokens():
    network, began = decoder(), time.monotonic()
    with pytest.raises(TimeLimitReached), time_limit(0.2):
        together(network, prompts_of(network), 10**6, LENGTHS)
    assert time.monotonic() - began < 20


def test_few_rows_of_a_large_network_at_once():
    network = decoder(context=65536, ngrams=0, position="none", width=64)
    assert BatchDecoder.most_rows(network) * 2 * 2 * 65536 * 64 <= 2**27 and BatchDecoder.most_rows(decoder()) == 64


PARAMETERS = {"tokens": 30, "temperature": 0.8, "top_k": 0, "top_p": 0.9, "repetition_penalty": 1.0, "seed": 4}
ASKED = ["The ", "", "Zürich and 日本", "The value of the " * 9, "a"]


def test_a_served_model_answers_rows_together_as_it_answers_each(generator):
    letter = generator.predict(["The "], {**PARAMETERS, "stop": ""})[0][12]
    for stop in ("", letter):
        answers = generator.predict(ASKED, {**PARAMETERS, "stop": stop})
        assert answers == [generator.predict([prompt], {**PARAMETERS, "stop": stop})[0] for prompt in ASKED]
        assert bool(stop) == (len(answers[0]) <= 12)
    with pytest.raises(ValueError, match="tokens: found 0"):
        generator.predict(ASKED, {**PARAMETERS, "stop": "", "tokens": 0})
    with pytest.raises(ValueError, match="architecture=encoder-decoder"):
        generator.predict(["The ", "a ___"], {**PARAMETERS, "stop": ""})


def test_another_network_writes_one_text_after_another(generator):
    other = copy.copy(generator)
    size = generator.tokenizer.get_vocab_size()
    described = {"vocabulary_size": size, "context": 16, "width": 8, "layers": 1, "dropout": 0.0, "cell": "gru"}
    other.network = RecurrentLanguageModel(**described).eval()
    choice = {"temperature": 0.8, "top_k": None, "top_p": 0.9, "seed": 4}
    assert other.predict(ASKED, {**PARAMETERS, "stop": ""}) == [other.continued(text, 30, **choice) for text in ASKED]


def run(folder, monkeypatch, *words):
    monkeypatch.chdir(folder)
    return CliRunner().invoke(quartet, ["generate", *map(str, words)])


def test_generate_takes_several_prompts_or_a_file(folder, generator, monkeypatch, tmp_path):
    choice = {"temperature": 0.8, "top_k": None, "top_p": None, "seed": 3}
    expected = "\n\n".join(generator.continued(prompt, 20, **choice) for prompt in ("The", "An other")) + "\n"
    assert run(folder, monkeypatch, "The", "An other", "--tokens", "20", "--seed", "3").output == expected
    (tmp_path / "prompts.csv").write_text("prompt\nThe\nAn other\n")
    done = run(folder, monkeypatch, "--file", tmp_path / "prompts.csv", "--tokens", "20", "--seed", "3")
    assert done.output == expected
    for words in ((), ("The ", "--file", tmp_path / "prompts.csv")):
        done = run(folder, monkeypatch, *words)
        assert done.exit_code == 2 and "give one or more prompts, or --file FILE" in done.output
    done = run(folder, monkeypatch, "The ", "a", "--next-words", "2")
    assert done.exit_code == 2 and "--next-words takes a single text" in done.output
