"""What a search accepts."""

import pytest

from quartet.commands.search.ranges import parse
from quartet.families import FAMILIES


def test_ranges_are_of_their_settings_kind():
    space = parse(
        ["train_cnn.dropout=0..1", "train_cnn.width=16..64", "train_cnn.learning_rate=log:1e-4..0.02"], FAMILIES["cnn"]
    )
    assert space == {
        "train_cnn.dropout": ("linear", 0.0, 1.0),
        "train_cnn.width": ("linear", 16, 64),
        "train_cnn.learning_rate": ("log", 0.0001, 0.02),
    }
    stepped = parse(["train_lm.width=64..256:32", "train_lm.dropout=0..0.3:0.1"], FAMILIES["lm"])
    assert stepped == {"train_lm.width": ("linear", 64, 256, 32), "train_lm.dropout": ("linear", 0.0, 0.3, 0.1)}
    assert isinstance(space["train_cnn.dropout"][2], float) and isinstance(space["train_cnn.width"][2], int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_cnn.depth=1..2", "there is no setting"),
        ("train_rnn.dropout=0..1", "the training of cnn does not read train_rnn.dropout"),
        ("evaluate.batch_size=1..4", "the training of cnn does not read evaluate.batch_size"),
        ("train_cnn.width=1.5..4", "takes whole numbers"),
        ("train_cnn.dropout=0.5..0.1", "low below high"),
        ("train_cnn.learning_rate=log:0..1", "above 0"),
        ("train_cnn.learning_rate=1.2.3..4", "expected SETTING="),
        ("train_cnn.activation=relu,gelo", "found gelo, allowed is `relu`"),
        ("train_cnn.dropout=0..2", "found 2.0, allowed is number ≥ 0, < 1"),
        ("train_cnn.width=16..60:8", "a step is above 0, divides the distance"),
        ("train_cnn.width=16..64:0", "a step is above 0"),
        ("train_cnn.dropout=0..1:0.25", "found 1.0, allowed is number"),
        ("train_cnn.width=16..64:1.5", "takes whole numbers"),
        ("train_cnn.learning_rate=log:0.001..0.01:0.001", "does not go with log:"),
        ("train_cnn.width=8,wide", "found wide, allowed is whole number"),
    ],
)
def test_what_cannot_be_searched_is_said(text, message):
    with pytest.raises(ValueError, match=message):
        parse([text], FAMILIES["cnn"])
