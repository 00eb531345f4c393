"""The language models: read in pieces as at once, generate the same with and without a cache, fill blanks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import build
from torch import nn

from quartet.datasets.tokenizers import train_tokenizer
from quartet.language.generation import fill_blanks, generate, next_words, sample_token
from quartet.language.incremental_decoding import IncrementalDecoder
from quartet.language.networks.short_convolution import ShortConvolution, _Mixed
from quartet.language.settings import TrainLm
from quartet.language.training.span_corruption import corrupt_spans, corrupted, cut
from quartet.layers.attention import MultiHeadAttention
from quartet.layers.positional_encoding import RotaryPosition

SIZES = {"vocabulary_size": 40, "context": 16, "width": 32, "layers": 2, "dropout": 0.1}
TRANSFORMER = {**SIZES, "heads": 4, "position": "rotary"}
MODELS = {
    "decoder": {"name": "decoder", **TRANSFORMER},
    "n-grams": {"name": "decoder", **TRANSFORMER, "ngrams": 50},
    "convolutions": {"name": "decoder", **TRANSFORMER, "convolution": 3},
    "sinusoidal": {"name": "decoder", **TRANSFORMER, "position": "sinusoidal"},
    "encoder-decoder": {"name": "encoder-decoder", **TRANSFORMER},
    "lstm": {"name": "recurrent-language-model", **SIZES, "cell": "lstm"},
    "gru": {"name": "recurrent-language-model", **SIZES, "cell": "gru"},
}


def model_of(name):
    """Weights far from zero, so that every part has its say."""
    torch.manual_seed(0)
    network = build(MODELS[name]).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("name", MODELS)
def test_no_model_sees_the_future(name):
    network = model_of(name)
    tokens = torch.randint(40, (2, 16))
    changed = tokens.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 40
    before, after = network(tokens), network(changed)
    assert before.shape == (2, 16, 40)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


@pytest.mark.parametrize("name", MODELS)
def test_text_read_in_pieces_is_read_as_at_once(name):
    network = model_of(name)
    tokens = torch.randint(40, (2, 12))
    first, past = network.begin(tokens[:, :5])
    middle, past = network.advance(tokens[:, 5:8], past)
    last, _ = network.advance(tokens[:, 8:], past)
    _, past = network.begin(tokens[:, :5])
    torch.testing.assert_close(torch.cat([middle, last], dim=1), network.advance(tokens[:, 5:], past)[0])
    if name != "encoder-decoder":
        torch.testing.assert_close(torch.cat([first, middle, last], dim=1), network(tokens))


@pytest.mark.parametrize("position", [None, RotaryPosition(9, 4)])
def test_causal_attention_with_a_cache_equals_attention_weights_written_out(position):
    attention = MultiHeadAttention(16, 4, position=position)
    tokens = torch.randn(2, 9, 16)
    whole, seen = attention.causal(tokens)
    values = attention.weights(tokens, causal=True) @ seen.values
    torch.testing.assert_close(whole, attention.output(values.transpose(1, 2).flatten(2)))
    values = attention.weights(tokens, causal=False) @ attention.keys_and_values(tokens).values
    torch.testing.assert_close(attention(tokens), attention.output(values.transpose(1, 2).flatten(2)))
    start, past = attention.causal(tokens[:, :4])
    end, _ = attention.causal(tokens[:, 4:], past)
    torch.testing.assert_close(whole, torch.cat([start, end], dim=1))


def test_a_short_convolution_is_torchs_causal_depthwise_one():
    convolution, tokens = ShortConvolution(6, 3), torch.randn(2, 9, 6)
    assert torch.equal(convolution(tokens)[0], tokens)  # as it begins
    nn.init.normal_(convolution.shares)
    kernel = torch.cat([torch.ones(1, 6), convolution.shares]).flip(0).T[:, None]  # (features, 1, reach + 1)
    expected = nn.functional.conv1d(nn.functional.pad(tokens.transpose(1, 2), (3, 0)), kernel, groups=6)
    mixed, last = convolution(tokens)
    torch.testing.assert_close(mixed, expected.transpose(1, 2))
    assert torch.equal(last, tokens[:, -3:])
    inputs = (tokens.double().requires_grad_(), torch.randn(2, 3, 6).double().requires_grad_())
    assert torch.autograd.gradcheck(lambda *given: convolution.double()(*given)[0], inputs)
    shares = convolution.shares.detach().requires_grad_()
    known = torch.cat(inputs[::-1], dim=1)
    assert torch.autograd.gradcheck(_Mixed.apply, (known.detach().requires_grad_(), shares))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [0, 0.9])
@pytest.mark.parametrize("texts", [1, 2])
def test_the_same_text_with_and_without_the_cache(name, temperature, texts):
    network, prompt = model_of(name), torch.randint(40, (texts, 3))

    def text(cached):
        generator = torch.Generator().manual_seed(3)
        return generate(network, prompt, 40, temperature=temperature, generator=generator, cached=cached)

    assert torch.equal(text(True), text(False))  # beyond the context of 16 as well
    assert text(True).shape == (texts, 43) and torch.equal(text(True)[:, :3], prompt)


@pytest.mark.parametrize("name", ["decoder", "n-grams", "convolutions", "sinusoidal"])
def test_incremental_decoding_equals_the_decoder(name):
    network, tokens = model_of(name), torch.randint(40, (1, 16))
    with torch.inference_mode():
        expected, _ = network.advance(tokens)
        _, past = network.begin(tokens[:, :6])
        incremental = IncrementalDecoder(network, past)
        found = torch.stack([incremental.advance(token)[0] for token in tokens[0, 6:].tolist()])
    torch.testing.assert_close(found, expected[0, 6:], atol=1e-4, rtol=1e-4)


def test_incremental_decoding_is_for_single_texts_and_decoders():
    decoder, recurrent = model_of("decoder"), model_of("gru")
    assert IncrementalDecoder.suits(decoder, torch.zeros(1, 3))
    assert not IncrementalDecoder.suits(decoder, torch.zeros(2, 3))
    assert not IncrementalDecoder.suits(recurrent, torch.zeros(1, 3))


def test_temperature_top_k_and_top_p_choose_as_they_say():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(4000, -1)

    def shares(**settings):
        drawn = sample_token(logits, generator=torch.Generator().manual_seed(0), **settings)
        return torch.bincount(drawn[:, 0], minlength=4) / len(drawn)

    def close(found, expected):
        torch.testing.assert_close(found, torch.tensor(expected), atol=0.03, rtol=0)

    close(shares(), [0.5, 0.3, 0.15, 0.05])
    close(shares(temperature=0), [1.0, 0, 0, 0])
    close(shares(top_p=0.0), [1.0, 0, 0, 0])
    close(shares(temperature=0.5), [0.685, 0.246, 0.062, 0.007])
    close(shares(top_k=2), [0.625, 0.375, 0, 0])
    close(shares(top_p=0.7), [0.625, 0.375, 0, 0])  # half is too little, so the second comes in as well
    close(shares(top_p=0.4), [1.0, 0, 0, 0])


@pytest.mark.parametrize("choice", [{"temperature": -0.5}, {"top_k": 0}, {"top_k": -1}, {"top_p": 1.5}, {"top_p": -1}])
def test_a_choice_of_no_or_of_unlikely_tokens_is_refused(choice):
    (name,) = choice
    with pytest.raises(ValueError, match=f"{name}: found"):
        sample_token(torch.zeros(1, 4), **choice)


@given(st.integers(3, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_reading_and_writing_of_span_corruption_make_the_text_again(steps, data):
    hidden = data.draw(st.integers(1, steps - 1))
    holes = data.draw(st.integers(1, min(hidden, steps - hidden + 1)))
    tokens = torch.randint(100, (3, steps))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    read, writing, written = corrupted(tokens, hidden, holes, 100, generator)
    assert read.shape == (3, steps - hidden + holes) and writing.shape == written.shape == (3, hidden + holes)
    assert torch.equal(writing[:, 1:], written[:, :-1]) and (written[:, -1] == 100 + holes).all()
    for row in range(3):
        spans, text = {}, []
        for token in writing[row].tolist():
            if token >= 100:
                spans[token] = spans[number] if (number := token) in spans else []
            else:
                spans[number].append(token)
        assert list(spans) == [100 + number for number in range(holes)] and all(spans.values())
        for token in read[row].tolist():
            text += spans[token] if token >= 100 else [token]
        assert text == tokens[row].tolist()


def test_the_share_of_continuations_is_as_set():
    tokens, generator = torch.arange(64).repeat(2, 1), torch.Generator().manual_seed(0)
    training = TrainLm(continuation=0.25)
    continued = 0
    for _ in range(400):
        read, writing, written = corrupt_spans(tokens, training, range(100, 132), generator)
        continued += bool((read[:, -1] == 100).all() and (read[:, :-1] < 100).all() and written[0, -2] == 63)
        assert read.shape[1] + writing.shape[1] == 64 + 2 * int((writing[0] >= 100).sum())
    assert 70 < continued < 130
    read, writing, written = cut(tokens, 60, 100)
    assert read[0].tolist() == [*range(60), 100]
    assert writing[0].tolist() == [100, 60, 61, 62, 63] and written[0].tolist() == [60, 61, 62, 63, 101]


def test_an_encoder_decoder_learns_to_fill_what_the_text_determines():
    """Windows count upwards: what is hidden follows from what stands around it."""
    torch.manual_seed(0)
    network = build({**MODELS["encoder-decoder"], "dropout": 0.0})
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        windows = torch.randint(20, (32, 1), generator=generator) + torch.arange(12)
        read, writing, written = corrupted(windows, 4, 2, 40, generator)
        loss = nn.functional.cross_entropy(network.fill(read, writing).flatten(0, 1), written.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    filled = [
        fill_blanks(network.eval(), [[n, n + 1, n + 2], [n + 5, n + 6], [n + 9, n + 10, n + 11]], temperature=0)
        for n in range(20)
    ]
    right = sum(blanks == [[n + 3, n + 4], [n + 7, n + 8]] for n, blanks in enumerate(filled))
    assert right >= 18


def test_blanks_are_filled_up_to_what_the_network_was_trained_for_and_more_are_refused():
    network = build({**MODELS["encoder-decoder"], "dropout": 0.0}).eval()
    most, places = len(network.sentinel_tokens) - 1, network.context + len(network.sentinel_tokens)
    chance = {"generator": torch.Generator().manual_seed(0)}
    assert len(fill_blanks(network, [[]] * most + [[1] * (places - most)], **chance)) == most
    assert fill_blanks(network, [[1] * places], **chance) == []
    with pytest.raises(ValueError, match=rf"found {most + 1} blanks .* at most {most} blanks"):
        fill_blanks(network, [[]] * (most + 2), **chance)
    with pytest.raises(ValueError, match=rf"{places} tokens of text; .* {places} of both"):
        fill_blanks(network, [[1] * places, []], **chance)


def test_next_words_sum_over_all_spellings():
    """A model of uniform tokens: the probability of a word is known by counting."""

    class Uniform(nn.Module):
        context = 8

        def begin(self, tokens):
            return torch.zeros(1, tokens.shape[1], 4), None

    texts = [" a", "b", "c", "."]
    words = dict(next_words(Uniform(), torch.zeros(1, 1, dtype=torch.long), reading(texts), 4, 3))
    assert words == pytest.approx({"a": 0.25 * 0.5, "ab": 0.25**2 * 0.5, "ac": 0.25**2 * 0.5})


def reading(texts):
    return lambda tokens: "".join(texts[token] for token in tokens)


class Certain(nn.Module):
    """Writes these tokens, one after another, whatever came before."""

    context = 16

    def __init__(self, tokens, vocabulary_size, begun):
        super().__init__()
        self.tokens, self.vocabulary_size, self.begun = tokens, vocabulary_size, begun

    def begin(self, tokens):
        logits = torch.full((1, tokens.shape[1], self.vocabulary_size), -100.0)
        logits[0, -1, self.tokens[tokens.shape[1] - self.begun]] = 100.0
        return logits, None


def test_after_white_space_the_next_word_begins_at_once():
    texts = ["I ", "see", "n", "."]
    prompt = torch.tensor([[0]])
    ((word, probability),) = next_words(Certain([1, 2, 3], 4, begun=1), prompt, reading(texts), 4, 1)
    assert word == "seen" and probability == pytest.approx(1)


def test_words_whose_characters_are_several_tokens_are_read_whole():
    tokenizer = train_tokenizer("byte", ["привет"], 256)
    prompt, answer = tokenizer.encode("да").ids, tokenizer.encode(" привет.").ids
    network = Certain(answer, 256, begun=len(prompt))
    network.context = len(prompt) + len(answer)
    words = next_words(network, torch.tensor([prompt]), tokenizer.decode, 256, 1)
    assert words == [("привет", pytest.approx(1))]


@pytest.mark.parametrize("position", ["rotary", "sinusoidal", "learned", "none"])
def test_the_decoder_does_not_see_the_future(position):
    network = build({"name": "decoder", **TRANSFORMER, "position": position, "vocabulary_size": 50}).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    tokens = torch.randint(50, (2, 16))
    changed = tokens.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 50
    before, after = network(tokens), network(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])
