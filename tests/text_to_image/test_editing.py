"""Negative captions, interpolation between captions, and drawings that start from a given picture."""

import itertools

import pytest
import torch
from networks import build
from PIL import Image

from quartet.artifacts.errors import BadInput
from quartet.text_to_image.editing import GivenPicture, noised_again, redrawing
from quartet.text_to_image.given_pictures import read_given
from quartet.text_to_image.guidance import between, guided
from quartet.text_to_image.networks.text_encoder import without_caption
from quartet.text_to_image.noise_schedules import add_noise, to_signed
from quartet.text_to_image.samplers import SAMPLERS, denoising_times, drawing, final_pictures, solver, to_uint8

PROCESSES = [("flow", "flow"), ("epsilon", "cosine"), ("v", "linear")]
FIRST, SECOND = torch.tensor([[1, 2, 0, 0]] * 3), torch.tensor([[1, 5, 6, 7]] * 3)  # of two and of four words
STEPS = 3


def network_of(objective="flow", schedule="flow"):
    """A network that answers to its caption, although it is not trained."""
    torch.manual_seed(0)
    network = build(
        {"name": "text-to-image", "channels": 1, "size": 8, "vocabulary_size": 9, "words": 4, "width": 8}
        | {"text_width": 8, "text_layers": 1, "text_heads": 2, "dropout": 0.0}
        | {"objective": objective, "schedule": schedule}
    ).eval()
    torch.nn.init.normal_(network.unet.leave.weight, std=0.3)
    encode, network.encoded = network.encode, 0

    def counted(captions):
        network.encoded += 1
        return encode(captions)

    network.encode = counted
    return network


def noise(seed=0, count=3):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def drawn(network, predict, given=None, sampler=None):
    """The pictures in [-1, 1] that predictions lead to, and how many steps there were."""
    generator, times = torch.Generator().manual_seed(5), denoising_times(STEPS, network.schedule)
    solve = solver(network, predict, sampler, generator)
    steps = list(
        solve(noise(), times) if given is None else redrawing(solve, given, noise(), times, network.schedule, generator)
    )
    return final_pictures(steps), len(steps)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_plain_drawing_is_as_ever_and_encodes_its_caption_once(guidance):
    network = network_of()
    found = final_pictures(drawing(network, FIRST, noise(), steps=STEPS, guidance=guidance, sampler="euler"))
    assert network.encoded == 1
    pictures, times = noise(), denoising_times(STEPS, "flow")
    with torch.no_grad():
        for now, then in itertools.pairwise(times):
            at = now.expand(3)
            predicted = network(pictures, at, FIRST)
            if guidance != 1:
                without = network(pictures, at, without_caption(FIRST))
                predicted = without + guidance * (predicted - without)
            pictures = pictures + (then - now) * predicted
    torch.testing.assert_close(found, pictures, rtol=1e-4, atol=1e-5)


def test_guidance_moves_away_from_a_negative_caption():
    network, times = network_of(), torch.full((3,), 0.5)
    with torch.no_grad():
        one, other = (network(noise(), times, captions) for captions in (FIRST, SECOND))
        found = guided(network, FIRST, 1.7, negative=SECOND)(noise(), times)
        empty = guided(network, FIRST, 1.7, negative=without_caption(FIRST))(noise(), times)
        plain = guided(network, FIRST, 1.7)(noise(), times)
    torch.testing.assert_close(found, other + 1.7 * (one - other), rtol=1e-4, atol=1e-5)
    assert torch.equal(empty, plain) and not torch.allclose(found, plain)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_an_interpolation_begins_and_ends_at_its_captions_whatever_their_lengths(guidance):
    network = network_of()
    for share, captions in ((0.0, FIRST), (1.0, SECOND)):
        network.encoded = 0
        found, _ = drawn(network, guided(network, FIRST, guidance, towards=SECOND, share=share))
        assert network.encoded == 1
        expected, _ = drawn(network, guided(network, captions, guidance))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    ends = [drawn(network, guided(network, captions, guidance))[0] for captions in (FIRST, SECOND)]
    middle, _ = drawn(network, guided(network, FIRST, guidance, towards=SECOND, share=0.5))
    assert min((middle - end).abs().max() for end in ends) > 1e-3
    near, _ = drawn(network, guided(network, FIRST, guidance, towards=SECOND, share=1e-4))
    torch.testing.assert_close(near, ends[0], rtol=0, atol=0.01)  # no leap where words begin to count


def test_encoded_captions_are_interpolated_linearly_where_both_have_words():
    vectors, mask = torch.randn(2, 1, 3, 4), torch.tensor([[True, True, False]])
    words, weights = between((vectors[0], mask), (vectors[1], ~mask | mask), 0.25)
    torch.testing.assert_close(words[:, :2], 0.75 * vectors[0, :, :2] + 0.25 * vectors[1, :, :2])
    torch.testing.assert_close(words[:, 2], vectors[1, :, 2])
    torch.testing.assert_close(weights.exp(), torch.tensor([[1.0, 1.0, 0.25]]))


PICTURE = to_signed(torch.randint(0, 256, (1, 8, 8), generator=torch.Generator().manual_seed(9)).to(torch.uint8))
HOLE = torch.zeros(8, 8, dtype=torch.bool)
HOLE[2:5, 3:] = True


@pytest.mark.parametrize(("objective", "schedule"), PROCESSES)
def test_known_pixels_stay_exactly_and_the_hole_is_drawn(objective, schedule):
    network = network_of(objective, schedule)
    for sampler in SAMPLERS[objective]:
        network.encoded = 0
        predict = guided(network, FIRST, 2.0)
        filled, steps = drawn(network, predict, GivenPicture(PICTURE, hole=HOLE, resamplings=2), sampler)
        assert steps == STEPS and network.encoded == 1 and filled.isfinite().all()
        assert torch.equal(to_uint8(filled)[..., ~HOLE], to_uint8(PICTURE)[..., ~HOLE].expand(3, -1, -1))
        assert (filled - PICTURE)[..., HOLE].abs().amax(dim=(1, 2)).min() > 0.05
        once, _ = drawn(network, predict, GivenPicture(PICTURE, hole=HOLE, resamplings=1), sampler)
        assert not torch.allclose(once[..., HOLE], filled[..., HOLE])


@pytest.mark.parametrize(("objective", "schedule"), PROCESSES)
def test_variations_go_from_the_picture_itself_to_a_drawing_from_noise(objective, schedule):
    network = network_of(objective, schedule)
    predict = guided(network, FIRST, 2.0)
    unchanged, _ = drawn(network, predict, GivenPicture(PICTURE, 0.0))
    assert torch.equal(to_uint8(unchanged), to_uint8(PICTURE).expand(3, -1, -1, -1))
    for strength in (0.001, 0.3):  # the first is a single step of a schedule
        varied, _ = drawn(network, predict, GivenPicture(PICTURE, strength))
        assert varied.isfinite().all()
    if objective == "flow":
        asked = []
        drawn(network, lambda x, t: (asked.append((x, t)), predict(x, t))[1], GivenPicture(PICTURE, 0.6))
        start, times = asked[0]
        torch.testing.assert_close(times, torch.full((3,), 0.6))
        torch.testing.assert_close(start, 0.4 * PICTURE + 0.6 * noise())
        from_noise, _ = drawn(network, predict, GivenPicture(PICTURE, 1.0))
        assert torch.equal(from_noise, drawn(network, predict)[0])


@pytest.mark.parametrize("schedule", ["flow", "cosine", "linear"])
def test_noise_that_is_added_again_leads_to_the_forward_process(schedule):
    clean, generator = torch.full((20_000, 1, 1, 1), 0.8), torch.Generator().manual_seed(0)
    then, now = torch.tensor(0.3), torch.tensor(0.7)
    before, expected = (
        add_noise(clean, torch.randn(clean.shape, generator=generator), time.expand(len(clean)), schedule)
        for time in (then, now)
    )
    found = noised_again(before, then, now, schedule, generator)
    assert found.mean().item() == pytest.approx(expected.mean().item(), abs=0.03)
    assert found.std().item() == pytest.approx(expected.std().item(), rel=0.03)
    torch.testing.assert_close(noised_again(before, then, then, schedule, generator), before)


DATA = {"size": 8, "channels": 1, "fit": "crop"}


def write(path, size, colour, mode="RGB", box=None):
    picture = Image.new(mode, size, colour)
    if box:
        picture.paste("white", box)
    picture.save(path)
    return path


def test_a_picture_and_its_mask_are_prepared_as_the_card_says(tmp_path):
    picture = write(tmp_path / "a.png", (32, 16), "black", box=(16, 0, 32, 16))
    mask = write(tmp_path / "b.png", (32, 16), "black", "L", box=(0, 0, 16, 16))
    given = read_given(DATA, picture, mask, None, None)
    assert given.pixels.shape == (1, 8, 8) and given.strength == 1.0 and given.resamplings == 10
    half = torch.arange(8).expand(8, 8) >= 4
    assert torch.equal(given.pixels[0] > 0, half) and torch.equal(given.hole, ~half)
    coloured = read_given({**DATA, "channels": 3, "fit": "pad"}, picture, None, 0.5, None)
    assert coloured.pixels.shape == (3, 8, 8) and coloured.hole is None and coloured.strength == 0.5
    assert (coloured.pixels[:, :2] == -1).all()  # padded with black


@pytest.mark.parametrize(
    ("size", "colour", "words"),
    [
        ((8, 8), "black", "has 8×8 pixels, but the picture has 16×16"),
        ((16, 16), "black", "is black all over"),
        ((16, 16), "white", "is white all over"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(tmp_path, size, colour, words):
    picture, mask = write(tmp_path / "a.png", (16, 16), "grey"), write(tmp_path / "b.png", size, colour, "L")
    with pytest.raises(BadInput, match=rf"--mask: .*{words}"):
        read_given(DATA, picture, mask, None, None)


def test_what_is_no_picture_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"--picture: .*is no picture"):
        read_given(DATA, tmp_path / "a.png", None, 0.5, None)
    with pytest.raises(BadInput, match=r"--picture: .*No such file"):
        read_given(DATA, tmp_path / "b.png", None, 0.5, None)
