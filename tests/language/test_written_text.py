"""Text as it is written: in pieces, up to stop strings, with a penalty on repetition; and scores of a text by line."""

import math

import pandas as pd
import pytest
import torch
from family_plans import CPU
from hypothesis import example, given
from hypothesis import strategies as st
from in_process import quartet
from real_text import REFERENCE
from typer.testing import CliRunner

from quartet.language.generation import generate, penalised
from quartet.language.line_scores import line_scores
from quartet.language.scoring import score_stream, word_perplexity
from quartet.language.stop_strings import pieces_before

CHOICE = {"temperature": 0.8, "top_k": None, "top_p": None, "seed": 3}


def letter_in(text):
    """A letter that is written some time after the prompt."""
    return next(letter for letter in text[20:] if letter.isascii() and letter.isalpha() and letter not in "The")


def run(folder, monkeypatch, *words):
    monkeypatch.chdir(folder)
    return CliRunner().invoke(quartet, [*map(str, words)])


@example(text="baa", stop=["a", "baa"])
@given(
    text=st.text("abü日", max_size=30),
    stop=st.lists(st.text("abü日", min_size=1, max_size=3), max_size=2),
)
def test_pieces_are_the_text_before_the_first_stop_string(text, stop):
    def decode(tokens):
        return bytes(tokens).decode(errors="replace")

    pieces = list(pieces_before(stop, iter(text.encode()), decode))
    ends = [place for place in (text.find(string) for string in stop) if place >= 0]
    assert "".join(pieces) == text[: min(ends, default=len(text))]
    assert not any("\ufffd" in piece for piece in pieces)


def test_pieces_come_as_soon_as_no_stop_string_can_begin_with_them():
    read = []

    def tokens():
        for byte in b"one two":
            read.append(byte)
            yield byte

    pieces = pieces_before(["e t?"], tokens(), lambda tokens: bytes(tokens).decode())
    assert next(pieces) == "o" and len(read) == 1
    assert "".join(pieces) == "ne two"


def test_a_text_ends_before_a_stop_string_and_is_else_the_same(generator):
    whole = generator.continued("The ", 60, **CHOICE)
    pieces = list(generator.pieces("The ", 60, **CHOICE))
    assert "".join(pieces) == whole and pieces[0] == "The " and len(pieces) > 20
    stop = letter_in(whole)
    assert generator.continued("The ", 60, stop=[stop], **CHOICE) == whole[: whole.index(stop, 4)]
    parameters = {p.name: p.default for p in generator.interface(generator.card).parameters}
    served = generator.predict(["The "], {**parameters, "tokens": 60, "seed": 3, "stop": stop})
    assert served == [whole[: whole.index(stop, 4)]]


def test_a_penalty_makes_known_tokens_less_likely_and_one_changes_nothing():
    logits, tokens = torch.tensor([[2.0, -1.0, 3.0]]), torch.tensor([[0, 1, 0]])
    assert penalised(logits, tokens, 2.0).tolist() == [[1.0, -2.0, 3.0]]
    assert torch.equal(penalised(logits, tokens, 1.0), logits)
    with pytest.raises(ValueError, match="repetition_penalty: found 0"):
        penalised(logits, tokens, 0)


def test_a_penalty_leaves_fewer_repetitions(generator):
    prompt = torch.tensor([generator.tokenizer.encode("The ").ids])
    plain, other = (generate(generator.network, prompt, 40, temperature=0, repetition_penalty=p) for p in (1.0, 5.0))
    assert len(set(other[0].tolist())) > len(set(plain[0].tolist()))


def test_scores_of_lines_add_up_to_those_of_the_text(generator):
    lines = REFERENCE[:1500].splitlines(keepends=True)
    table = line_scores(generator.network, generator.tokenizer, lines, CPU)
    stream = torch.tensor(generator.tokenizer.encode("".join(lines)).ids).numpy()
    scored = score_stream(generator.network, stream, generator.tokenizer, 8, CPU, sliding=True)
    assert table.nats.sum() == pytest.approx(scored["nats"], rel=1e-5) and table.tokens.sum() == len(stream)
    assert table.text.tolist() == [line.rstrip("\n") for line in lines]
    assert word_perplexity(math.log(7) * 5, "a b\nc\n") == pytest.approx(7)
    assert word_perplexity(1e6, "日本") is None


def test_a_file_is_scored_as_a_table(folder, monkeypatch, tmp_path):
    (tmp_path / "own.txt").write_text(REFERENCE[:600])
    done = run(folder, monkeypatch, "score", tmp_path / "own.txt", "--out", tmp_path / "lines.csv")
    assert done.exit_code == 0 and "bits per byte, perplexity" in done.stderr and "per word" in done.stderr
    table = pd.read_csv(tmp_path / "lines.csv")
    assert list(table) == ["line", "bytes", "tokens", "bits_per_byte", "perplexity", "text"]
    assert table.bytes.sum() == len(REFERENCE[:600].encode())
    (tmp_path / "empty.txt").write_text("")
    for file, message in (("empty.txt", "has no text"), ("absent.txt", "no such file")):
        done = run(folder, monkeypatch, "score", tmp_path / file)
        assert done.exit_code == 2 and message in done.stderr
    assert run(folder, monkeypatch, "score", tmp_path / "own.txt", "--out", "a.txt").exit_code == 2


@pytest.mark.parametrize("other", [("a ___ b",), ("The ", "a ___ b"), ("The ", "--next-words", "2")])
@pytest.mark.parametrize("option", [("--stop", "x"), ("--repetition-penalty", "1.5")])
def test_options_of_a_continued_text_are_refused_elsewhere(folder, monkeypatch, other, option):
    done = run(folder, monkeypatch, "generate", *other, *option)
    assert done.exit_code == 2 and f"does not use {option[0]}\n" in done.output


def test_generate_prints_what_it_writes(folder, generator, monkeypatch):
    whole = generator.continued("The ", 40, **CHOICE)
    done = run(folder, monkeypatch, "generate", "The ", "--tokens", "40", "--seed", "3")
    assert done.output == f"{whole}\n"
    done = run(folder, monkeypatch, "generate", "The ", "--tokens", "40", "--seed", "3", "--stop", letter_in(whole))
    assert done.output == f"{whole[: whole.index(letter_in(whole), 4)]}\n"
    (folder / "params.yaml").write_text("{}\n")
    done = run(folder, monkeypatch, "translate", "The ")
    assert done.exit_code == 2 and "was not trained to translate" in done.stderr
