"""Captions as people write them: sub-word tokens, several captions per picture, what is too long or empty."""

import csv
import dataclasses
from pathlib import Path

import pytest
import torch
from own_pictures import draw, prepare
from safetensors.torch import save_file

from quartet.artifacts import paths
from quartet.artifacts.errors import BadInput
from quartet.artifacts.fetching import Fetching
from quartet.artifacts.model_store import save_model
from quartet.artifacts.rebuilding import build_network
from quartet.datasets.images import load_images
from quartet.images.settings import PreprocessImages
from quartet.text_to_image import training
from quartet.text_to_image.captions.open_captions import OpenCaptions, learn_captions, plain, read_captions
from quartet.text_to_image.captions.prompts import PicturePrompts, distinguishing, prompts_of_splits, reader_of
from quartet.text_to_image.networks import NETWORKS
from quartet.text_to_image.settings import TrainDiffusion
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything
from quartet.training.start_weights import bring_weights, read_start, take_weights

CPU = torch.device("cpu")
WRITTEN = ["a red square on grass", "two blue circles, far away", "a green triangle"]


@pytest.fixture
def tokens():
    return learn_captions(WRITTEN, 64)


def texts(tokens, caption):
    """A caption's tokens, in the letters that stand for bytes."""
    row = tokens.encode([caption])[0]
    return [tokens.tokenizer.id_to_token(number - 2) for number in row.tolist() if number > 1]


def test_words_of_training_are_tokens_and_others_are_spelled_by_pieces(tokens):
    assert texts(tokens, "A red triangle") == ["Ġa", "Ġred", "Ġtriangle"]
    assert texts(tokens, "a redder square")[:2] == ["Ġa", "Ġred"]
    spelled = texts(tokens, "ein Dreieck 三角")
    assert len(spelled) > 10 and tokens.tokenizer.get_vocab_size() > 256
    assert tokens.encode(["a red square"]).shape == (1, tokens.longest)


def test_case_spaces_and_the_form_of_accents_do_not_matter(tokens):
    assert plain("  A Cre\u0301me ") == " a cr\u00e9me"
    one, other = tokens.encode(["a RED\tsquare", " a red  square"])
    assert one.equal(other)


def test_the_merges_are_all_that_another_process_needs(tokens):
    again = OpenCaptions(tuple(tokens.merges), tokens.longest)
    assert again.encode(WRITTEN).equal(tokens.encode(WRITTEN)) and again.vocabulary_size == tokens.vocabulary_size
    assert tokens.encode(WRITTEN).max() < tokens.vocabulary_size


def test_captions_that_are_empty_or_too_long_are_refused_with_a_reason(tokens):
    with pytest.raises(BadInput, match="has no words"):
        tokens.encode(["a red square", "  "])
    with pytest.raises(BadInput, match=r"^.{,90}: 65 tokens; the model reads at most 64"):
        tokens.encode(["a red square on grass " * 13])


def test_long_captions_of_pictures_are_cut_and_counted():
    short = learn_captions(WRITTEN, 3)
    ids, cut = short.encode_cut(WRITTEN)
    assert ids.shape == (3, 4) and cut == 2 and (ids > 0).all()


def test_a_picture_with_several_captions_gives_each_in_turn():
    prompts = PicturePrompts(torch.arange(12).view(6, 2), torch.tensor([1, 3, 2]))
    generator = torch.Generator().manual_seed(0)
    found = [prompts.drawn(torch.tensor([1, 0, 2, 1]), generator) for _ in range(100)]
    seen = {(place, int(row[0]) // 2) for batch in found for place, row in enumerate(batch)}
    assert seen == {(0, 1), (0, 2), (0, 3), (1, 0), (2, 4), (2, 5), (3, 1), (3, 2), (3, 3)}
    generator.manual_seed(0)
    assert prompts.drawn(torch.tensor([1, 0, 2, 1]), generator).equal(found[0])


def test_words_of_some_captions_tell_them_apart(tokens):
    prompts = PicturePrompts(tokens.encode_cut(WRITTEN)[0], torch.tensor([1, 1, 1]))
    words = {tokens.tokenizer.id_to_token(number - 2) for number in distinguishing(tokens, prompts)}
    assert "Ġred" in words and "Ġa" not in words  # which two of three have


def table(folder, rows):
    """Pictures of noise and their `metadata.csv`."""
    for number, name in enumerate(dict.fromkeys(row["file_name"] for row in rows)):
        draw(folder / name, "L", (8, 8), seed=number)
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_pictures_without_captions_of_their_own_are_called_by_their_class(tmp_path):
    labels = [["cat", "dog"][number % 2] for number in range(8)]
    rows = [{"file_name": f"{number}.png", "label": label} for number, label in enumerate(labels)]
    table(tmp_path / "own/train", [row | {"text": f"my {row['label']}"} for row in rows])
    table(tmp_path / "own/test", rows)
    info, folder = prepare(tmp_path, images=f"folder:{tmp_path / 'own'}")
    _, drawn_labels = load_images(folder, "test")
    said = read_captions(folder, "test", info, drawn_labels.tolist())
    assert ["a pictured cat" in captions for captions in said] == [label == 0 for label in drawn_labels.tolist()]
    assert ["my cat"] in read_captions(folder, "train", info, load_images(folder, "train")[1].tolist())


def test_pictures_without_classes_train_and_the_card_says_how_to_read(tmp_path, capsys):
    rows = [
        {"file_name": f"{n}.png", "text": text}
        for n in range(60)
        for text in (f"picture number {n}", f"the {['first', 'second'][n % 2]} of many, many pictures")
    ]
    info, folder = prepare(
        tmp_path, PreprocessImages(validation=0.45), images=f"folder:{table(tmp_path / 'own', rows)}"
    )
    settings = TrainDiffusion(
        steps=3, validate_every=3, width=8, text_width=16, matcher=True, precision="float32", longest_caption=5
    )
    seed_everything(0)
    plan = training.plan(settings, seed=0, folder=folder, info=info, device=CPU)
    outcome = train(plan.task, settings, seed=0, device=CPU, checkpoint=NoCheckpoint(), quiet=True)
    assert outcome.steps == 3 and {"captions", "task"} <= set(plan.card_keys)
    assert "captions are longer than 5 tokens and are cut" in capsys.readouterr().out
    network = build_network(NETWORKS, plan.description)
    network.load_state_dict(outcome.weights)
    reader = reader_of(network, {name: info[name] for name in plan.card_keys})
    assert isinstance(reader, OpenCaptions) and reader.encode(["picture 3"]).shape == (1, 6)
    assert plan.description["matched_words"] and plan.description["vocabulary_size"] == reader.vocabulary_size
    # A start model keeps its embedding only if it means the same tokens, which its shape does not tell.
    others = plan.foreign({"network": {**plan.description, "merges": plan.description["merges"][::-1]}})
    save_file(outcome.weights, tmp_path / "model.safetensors")
    about = take_weights(network, {"from": "another"}, tmp_path, others)
    assert "text_encoder.embedding.weight" in about["new"] and not [name for name in about["new"] if "unet" in name]
    assert (
        not plan.foreign({"network": plan.description}) and not take_weights(network, {"from": "this"}, tmp_path)["new"]
    )


def test_going_on_from_a_model_of_captions_keeps_its_tokens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    settings = TrainDiffusion(steps=1, validate_every=1, width=8, text_width=16, precision="float32")

    def planned(said, settings):
        place = Path(said.split()[-1])
        rows = [{"file_name": f"{n}.png", "text": f"{said}, number {n}"} for n in range(40)]
        info, folder = prepare(place, images=f"folder:{table(place / 'own', rows)}")
        return training.plan(settings, seed=0, folder=folder, info=info, device=CPU), info

    first, info = planned("a small red dot", settings)
    described = {name: info[name] for name in (*first.card_keys, "source", "sha256")}
    weights = first.task.network.state_dict()
    save_model(Path("model"), weights, family="diffusion", network=first.description, data=described, training={})
    going_on = dataclasses.replace(settings, start_from="model")
    bring_weights("diffusion", going_on, None, Fetching(), paths.raw("weights") / "diffusion")
    second, _ = planned("an enormous turquoise circle", going_on)
    assert second.description == first.description
    start = read_start("model", paths.raw("weights") / "diffusion")
    taken = take_weights(second.task.network, start, paths.raw("weights") / "diffusion", second.foreign(start))
    assert not taken["new"]


def test_settings_that_class_names_or_the_flow_do_not_use_are_said(tmp_path, capsys):
    info, folder = prepare(tmp_path)
    settings = TrainDiffusion(longest_caption=5, noise_schedule="linear")
    training.plan(settings, seed=0, folder=folder, info=info, device=CPU)
    said = capsys.readouterr().out
    assert "train_diffusion.longest_caption: not used by captions that are made from class names" in said
    assert "train_diffusion.noise_schedule: not used by the objective `flow`" in said


def test_templates_stay_what_class_names_are_read_with(tmp_path):
    info, folder = prepare(tmp_path)
    reader, prompts = prompts_of_splits(folder, info, {"train": torch.arange(10)}, 64)
    drawn = prompts["train"].drawn(torch.arange(10), torch.Generator().manual_seed(0))
    assert drawn.shape == (10, reader.longest) and reader.classes == tuple(info["classes"])
