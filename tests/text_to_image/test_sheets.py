"""What the sheets of the evaluation show: pictures between captions, attributes, new compositions."""

import numpy as np
import pytest
import torch
from networks import build

from quartet.reporting import image_sheets
from quartet.text_to_image import caption_sheets, sheets
from quartet.text_to_image.captioned_pictures import CaptionedPictures
from quartet.text_to_image.captions.attributes import Attributes
from quartet.text_to_image.class_pictures import drawing_arguments
from quartet.text_to_image.samplers import draw, to_uint8
from quartet.text_to_image.settings import EvaluateDiffusion

SHAPES, SHADES = ("bar", "dot", "ring"), ("bright", "dim")
ATTRIBUTES = Attributes({"shape": SHAPES, "shade": SHADES}, {"shape": ["shape"], "shade": ["shade"]})


@pytest.fixture
def shown(monkeypatch):
    """The arguments of each sheet: rows, their names, titles above pictures."""
    sheet, calls = image_sheets.image_sheet, []

    def remember(*arguments):
        calls.append(arguments)
        return sheet(*arguments)

    for module in (sheets, caption_sheets):
        monkeypatch.setattr(module, "image_sheet", remember)
    return calls


def pictures_of(attributes, brightness):
    """Pictures of one brightness each."""
    pixels = torch.tensor(brightness, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).clone()
    captions = [[f"a {SHADES[shade]} {SHAPES[shape]}", "another"] for shape, shade in attributes]
    return CaptionedPictures(pixels, torch.zeros(len(pixels)).long(), captions, torch.tensor(attributes))


def answering_network():
    """A network that answers to its caption, although it is not trained."""
    torch.manual_seed(0)
    network = build(
        {"name": "text-to-image", "channels": 1, "size": 8, "vocabulary_size": 9, "words": 4, "width": 8}
        | {"text_width": 8, "text_layers": 1, "text_heads": 2, "dropout": 0.0, "objective": "v", "schedule": "cosine"}
    ).eval()
    torch.nn.init.normal_(network.unet.leave.weight, std=0.3)
    return network


def test_pictures_between_captions_begin_and_end_at_them_from_the_same_noise(tmp_path, shown):
    network, how = answering_network(), EvaluateDiffusion(steps=3, guidance=2.0, sampler="ddpm")
    prompts = torch.tensor([[1, 2, 0, 0], [1, 5, 6, 7], [1, 3, 4, 0], [1, 8, 0, 0], [1, 2, 3, 0]])
    generator = torch.Generator().manual_seed(3)
    names = ["one", "two", "three", "four", "alone"]
    sheets.draw_interpolation(tmp_path / "sheet.png", network, prompts, names, how, generator)
    (rows, _, titles, *_), *_ = shown
    assert np.array(rows).shape == (2, sheets.STRIP, 1, 8, 8) and (tmp_path / "sheet.png").exists()
    assert [(row[0], row[-1]) for row in titles] == [("one", "two"), ("three", "four")]
    generator.manual_seed(3)
    noise = torch.randn(2, 1, 8, 8, generator=generator)
    state, arguments = generator.get_state(), drawing_arguments(how)
    for place, asked in ((0, prompts[0:4:2]), (-1, prompts[1:4:2])):
        generator.set_state(state)
        alone = to_uint8(draw(network, asked, noise, generator=generator, **arguments)).numpy().astype(int)
        assert np.abs(alone - np.array(rows)[:, place]).max() <= 1  # of 255: attention has other rounding
    assert np.abs(np.diff(np.array(rows).astype(int), axis=1)).reshape(2, 8, -1).max(axis=2).min() > 0


def test_no_pictures_between_captions_where_there_is_one(tmp_path, shown):
    one = torch.tensor([[1, 2, 0, 0]])
    generator = torch.Generator().manual_seed(0)
    sheets.draw_interpolation(tmp_path / "sheet.png", answering_network(), one, ["one"], EvaluateDiffusion(), generator)
    assert not shown and not list(tmp_path.iterdir())


def test_attributes_are_shown_value_by_value_with_what_the_judge_sees(tmp_path, shown):
    drawn = pictures_of([[0, 0], [0, 1], [2, 0], [2, 1]], [10, 20, 30, 40])
    seen = torch.tensor([[0, 0], [0, 0], [0, 0], [2, 1]])
    caption_sheets.draw_attributes(tmp_path / "sheet.png", ATTRIBUTES, drawn, seen)
    (rows, names, titles, *_), *_ = shown
    assert names == ["shape: bar (100%)", "shape: ring (50%)", "shade: bright (100%)", "shade: dim (50%)"]
    assert titles == [["", ""], ["bar", ""], ["", ""], ["bright", ""]]
    assert [row[:, 0, 0, 0].tolist() for row in rows] == [[10, 20], [30, 40], [10, 30], [20, 40]]


def test_new_compositions_stand_above_the_real_picture_and_the_nearest_of_training(tmp_path, shown):
    test = pictures_of([[0, 0], [1, 1], [2, 0]], [100, 150, 200])
    train = pictures_of([[0, 1], [1, 0]], [20, 240])
    owners = torch.tensor([0, 1, 2, 0, 1, 2])
    drawn = pictures_of([test.attributes[owner].tolist() for owner in owners], [101, 30, 201, 102, 31, 202])
    unseen = torch.tensor([True, True, False, True, True, False])
    path = tmp_path / "sheet.png"
    caption_sheets.draw_unseen_compositions(path, drawn, unseen, owners, test, train)
    (rows, _, titles, *_), *_ = shown
    # One of each caption.
    assert [row[:, 0, 0, 0].tolist() for row in rows] == [[101, 30], [100, 150], [20, 20]]
    assert titles[0] == ["a bright bar", "a dim dot"] and titles[2][1].splitlines() == ["a dim bar", "at 0.31"]
    shown.clear()
    caption_sheets.draw_unseen_compositions(path, drawn, torch.zeros(6).bool(), owners, test, train)
    assert not shown
