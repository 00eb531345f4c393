"""Captions: known words, unseen sentences, clear refusals."""

import pytest

from quartet.images.sources.class_names import TRAFFIC_SIGNS
from quartet.text_to_image.captions.templates import (
    TEMPLATES,
    UNSEEN_TEMPLATES,
    Captioner,
    UnknownWordError,
    captioner,
    split_words,
)


def test_unseen_templates_are_new_sentences_of_known_words():
    captions = Captioner(("seven", "speed limit 20"), "handwritten")
    assert not set(TEMPLATES) & set(UNSEEN_TEMPLATES)
    table = captions.table(UNSEEN_TEMPLATES)
    assert table.shape[:2] == (2, len(UNSEEN_TEMPLATES)) and table.max() < captions.vocabulary_size
    asked = captions.encode(["the digit seven, written by hand", "please draw a 7"])
    assert any(asked[0].equal(row) for row in table[0]) and any(asked[1].equal(row) for row in table[0])
    with pytest.raises(UnknownWordError, match=r"'sevn'; did you mean seven.*\?; the model draws seven, speed"):
        captions.encode(["a handwritten sevn"])
    with pytest.raises(UnknownWordError, match=r"unknown word '77'; the model draws seven, speed limit 20$"):
        captions.encode(["a handwritten 77"])
    with pytest.raises(UnknownWordError, match=r"unknown word 'cat'; the model draws"):  # not `a`, which it looks like
        captions.encode(["cat"])


def test_every_traffic_sign_is_asked_for_in_every_sentence():
    captions = Captioner(tuple(TRAFFIC_SIGNS), "photographed")
    for templates in (TEMPLATES, UNSEEN_TEMPLATES):
        table = captions.table(templates)
        assert table.shape[:2] == (43, len(templates))
        assert len(table.flatten(0, 1).unique(dim=0)) == 43 * len(templates)


@pytest.mark.parametrize("caption", ["", "  ", "?!...", "-"])
def test_a_caption_without_a_word_is_refused(caption):
    with pytest.raises(ValueError, match=r"has no words; the model knows .*seven"):
        Captioner(("seven", "nine"), "handwritten").encode(["seven", caption])


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A seven - handwritten!", ["a", "seven", "handwritten"]),
        ("stop_sign", ["stop", "sign"]),
        ("a T-shirt", ["a", "t-shirt"]),
        ("cre\u0300me", ["cr\u00e8me"]),  # an accent of its own, as some systems write file names
        ("\uff17", ["7"]),  # of full width
        ("\u0915\u093f", ["\u0915\u093f"]),  # a Devanagari letter and its vowel sign
    ],
)
def test_words_are_found_whatever_way_they_are_written(caption, words):
    assert split_words(caption) == words


def test_telling_words_are_those_that_not_every_class_has():
    captions = Captioner(("speed limit 20", "speed limit 30", "no speed limit"), "sign")
    assert [captions.words[number - 2] for number in captions.distinguishing_words] == ["20", "30", "no"]
    captions = Captioner(("end of overtaking", "no overtaking by trucks", "stop"), "photographed")
    words = [captions.words[number - 2] for number in captions.distinguishing_words]
    assert words == ["end", "no", "overtaking", "stop", "trucks"]  # any class may be a picture of something by a camera
    with pytest.raises(ValueError, match=r"'left turn', 'turn left' apart.*train_diffusion\.matcher"):
        _ = Captioner(("left turn", "turn left"), "sign").distinguishing_words


def test_a_caption_longer_than_any_that_was_trained_is_refused():
    captions = Captioner(("seven", "nine"), "handwritten")
    longest = "the digit seven, written by hand"
    assert captions.encode([longest]).shape == captions.table(TEMPLATES)[0, :1].shape
    with pytest.raises(ValueError, match="7 words; the model reads at most 6"):
        captions.encode(["nine", longest + " seven"])


def test_a_digit_may_be_written_either_way():
    words, digits = Captioner(("seven", "nine"), "handwritten"), Captioner(("7", "9"), "handwritten")
    assert words.encode(["please draw a 7"]).equal(words.encode(["please draw a seven"]))
    assert digits.encode(["please draw a seven"]).equal(digits.encode(["please draw a 7"]))


@pytest.mark.parametrize(
    ("classes", "problem"),
    [(["cat", "!!"], "'!!' has no letter"), (["a cat", "A, cat"], "'a cat' and 'A, cat' have the same caption")],
)
def test_classes_that_no_caption_tells_apart_are_refused(classes, problem):
    with pytest.raises(ValueError, match=problem):
        captioner({"classes": classes, "caption_subject": "picture of a"})
