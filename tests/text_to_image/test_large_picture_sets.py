"""Sets of pictures that are larger than memory: trained on and scored in parts, to the same bytes and scores."""

import subprocess
import sys

import pytest
import torch
from family_plans import CPU, image_plan, stopped_and_resumed, text_to_image_plan, trained
from own_pictures import bring

from quartet.datasets import images as image_store
from quartet.datasets.images import StreamedImages, load_images, open_images
from quartet.images.preparation import prepare_images
from quartet.images.settings import PreprocessImages, TrainCnn
from quartet.params.shared import Augmentation
from quartet.text_to_image import generated_images
from quartet.text_to_image.attribute_judge import AttributeJudge
from quartet.text_to_image.captions.attributes import Attributes
from quartet.text_to_image.captions.prompts import PicturePrompts
from quartet.text_to_image.generated_images import (
    copy_rate,
    copy_threshold,
    fid_ratio,
    labelled_features,
    nearest,
    variance_ratio,
)
from quartet.text_to_image.retrieval import picture_features, trained_matcher


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    bring(folder / "grey/raw")
    prepare_images(folder / "grey/raw", folder / "grey", PreprocessImages(channels=1))
    return folder


@pytest.fixture
def pairs(data, monkeypatch):
    """The training split in memory and on disk, of which few rows are taken at once."""
    whole = load_images(data / "grey", "train")
    monkeypatch.setattr(image_store, "free_memory", lambda: 1000)
    streamed = open_images(data / "grey", "train", CPU)
    assert isinstance(streamed[0], StreamedImages) and streamed[0].shape == whole[0].shape
    monkeypatch.setattr(image_store, "VALUES", 100 * 8 * 8)
    return whole, streamed


@pytest.mark.parametrize("values", [image_store.VALUES, 40 * 8 * 8])
def test_a_streamed_training_gives_the_same_bytes(data, tmp_path, monkeypatch, capsys, values):
    monkeypatch.setattr(image_store, "VALUES", values)  # at once: all held-out pictures, or a part of a batch
    settings = {"batch_size": 128, "steps": 12, "validate_every": 6}  # more than an epoch
    whole = trained(text_to_image_plan, data, **settings)
    assert "read from disk" not in capsys.readouterr().out
    monkeypatch.setattr(image_store, "free_memory", lambda: 1000)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    streamed = trained(text_to_image_plan, data, **settings)
    assert capsys.readouterr().out.count("are read from disk as they are used") == 2
    resumed = stopped_and_resumed(text_to_image_plan, data, **settings)
    for outcome in (streamed, resumed):
        assert outcome.history == whole.history
        assert all(torch.equal(tensor, outcome.weights[name]) for name, tensor in whole.weights.items())


def test_a_step_that_a_gpu_replays_reads_no_files(data, monkeypatch):
    assert image_plan(data, CPU)[1].task.replayable
    monkeypatch.setattr(image_store, "free_memory", lambda: 1000)
    task = text_to_image_plan(data, CPU)[1].task
    examples = task.examples_at(0)
    monkeypatch.delattr(StreamedImages, "__getitem__")
    assert task.replayable and len(task.batch_of(examples, torch.Generator().manual_seed(0))[0]) == 16
    assert not image_plan(data, CPU)[1].task.replayable


def test_scores_of_parts_are_those_of_the_whole(pairs, monkeypatch, capsys):
    (images, labels), (streamed, _) = pairs
    drawn, asked = images[:300].flip(3), labels[:300]
    flat = images.flatten(1).double() / 255
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    apart = apart.min(dim=1).values
    threshold = apart.quantile(0.01).item()
    wanted = torch.cdist(drawn.flatten(1).double() / 255, flat, compute_mode="donot_use_mm_for_euclid_dist")
    variance = torch.stack([flat[labels == label].var(dim=0).sum() for label in labels.unique()]).mean() * 255**2
    for train in (images, streamed):
        assert copy_threshold(train) == pytest.approx(threshold, rel=1e-5)
        distances, numbers = nearest(drawn, train)
        torch.testing.assert_close(distances.double(), wanted.min(dim=1).values, atol=1e-5, rtol=0)
        assert (numbers == wanted.argmin(dim=1)).double().mean() > 0.99
        assert torch.equal(nearest(train, images, rows=torch.tensor([700, 5]))[1], torch.tensor([700, 5]))
        doubled = 2 * (images // 2)
        ratio = variance_ratio(train, labels, doubled, labels)
        assert ratio == pytest.approx(1, abs=0.01) and variance_ratio(drawn, asked, train, labels) > 0.5
        own = generated_images.class_variances(train, labels)
        assert sum(own.values()) / len(own) == pytest.approx(variance.item(), rel=1e-9)
    monkeypatch.setattr(generated_images, "PRODUCTS", 0)
    monkeypatch.setattr(generated_images, "FEWEST", 200)  # stand for all
    some = torch.arange(200) * len(images) // 200
    capsys.readouterr()
    assert copy_threshold(streamed) == pytest.approx(apart[some].quantile(0.01).item(), rel=1e-5)
    assert f"of {len(images):,} images, 200 evenly spaced ones are compared" in capsys.readouterr().out
    assert copy_rate(drawn, streamed, threshold) == copy_rate(drawn, images, threshold)


def test_features_of_many_pictures_are_computed_when_they_are_needed(pairs, monkeypatch):
    (images, labels), train = pairs
    largest = []

    def features_of(some):
        largest.append(len(some))
        return torch.cat([part.flatten(1)[:, 20:28].float() for part in some.split(64)])

    others = (features_of(images[:300].flip(3)), labels[:300]), (features_of(images[300:500]), labels[300:500])
    expected = fid_ratio(*others, labelled_features(images, labels, features_of), draws=3, seed=0)
    assert largest.pop() == len(images)
    monkeypatch.setattr(generated_images, "LATE", 1000)
    late = labelled_features(*train, features_of)
    assert fid_ratio(*others, late, draws=3, seed=0) == expected and max(largest) <= 300


def test_judge_and_matcher_of_a_streamed_set_are_those_of_one_in_memory(pairs):
    still = Augmentation(rotation=0.0, shift=0.0, brightness=0.0, contrast=0.0)
    settings = TrainCnn(steps=4, batch_size=16, width=8, precision="float32", augmentation=still)
    info, digits = {"channels": 1, "size": 8, "mean": [0.3], "std": [0.3]}, tuple("0123456789")
    attributes = Attributes({"digit": digits}, {"digit": ["digit"]})
    found = []
    for images, labels in pairs:
        judge = AttributeJudge(attributes, settings, info, (images, labels[:, None]), CPU, seed=0)
        prompts = PicturePrompts(torch.stack([torch.ones_like(labels), labels + 2], dim=1), torch.ones_like(labels))
        matcher = trained_matcher(images, prompts, vocabulary_size=12, words=2, steps=12, seed=0)  # more than an epoch
        found.append((judge.training.logits_of(judge.network, images), picture_features(matcher, images, 64)))
    assert all(torch.equal(whole, streamed) for whole, streamed in zip(*found, strict=True))


MEASURED = """
import sys, threading
from pathlib import Path
import numpy as np, torch
from quartet.artifacts.tensor_files import save_rows
from quartet.datasets import images as image_store
from quartet.text_to_image.generated_images import class_variances, nearest
from quartet.text_to_image.settings import TrainDiffusion
from quartet.text_to_image.training import plan
from quartet.training.checkpoints import NoCheckpoint
from quartet.training.loop import train
from quartet.training.seeding import seed_everything

CPU, SHAPE, TRAIN = torch.device("cpu"), (3, 64, 64), 40_000
INFO = {"classes": ["zero", "one"], "caption_subject": "handwritten", "channels": 3, "size": 64}
HOW = TrainDiffusion(precision="float32", batch_size=16, width=8, steps=4, validate_every=4)


def write(folder, **counts):
    folder.mkdir()
    base = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    for split, count in counts.items():
        others = {"labels": np.arange(count) % 2}
        rows = (base + np.uint8(row % 251) for row in range(count))
        save_rows(folder / f"{split}.safetensors", "images", rows, (count, *SHAPE), others)
    return folder


def used():  # MiB that are no files, of which the system keeps in memory what it has room for
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024


def outcome(folder):
    seed_everything(0)
    task = plan(HOW, seed=0, folder=folder, info=INFO, device=CPU).task
    weights = train(task, HOW, seed=0, device=CPU, checkpoint=NoCheckpoint(), quiet=True).weights
    images, labels = image_store.open_images(folder, "train", CPU)
    variances = torch.tensor(list(class_variances(images, labels).values()))
    return [*weights.values(), *nearest(images[:20], images), variances]


def grown(folder):
    before, over, most = used(), threading.Event(), [0.0]
    def watch():
        while not over.wait(0.002):
            most.append(used())
    watcher = threading.Thread(target=watch)
    watcher.start()
    found = outcome(folder)
    over.set()
    watcher.join()
    return max(most) - before, found


folder = Path(sys.argv[1])
outcome(write(folder / "small", train=64, validation=1000))
large = write(folder / "large", train=TRAIN, validation=2000)
image_store.VALUES = 2**22  # a small part of this set, as the usual number is of a large one
free_memory, image_store.free_memory = image_store.free_memory, lambda: TRAIN
streamed, found = grown(large)
image_store.free_memory = free_memory
whole, same = grown(large)
assert all(map(torch.equal, found, same))
print(streamed, whole)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
def test_a_streamed_training_takes_little_memory_for_the_set(tmp_path):
    command = [sys.executable, "-c", MEASURED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    streamed, whole = map(float, done.stdout.split()[-2:])
    size = (tmp_path / "large/train.safetensors").stat().st_size / 2**20
    assert size > 450 and whole > size and streamed < 0.75 * size
