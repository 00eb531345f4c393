"""Questions in bulk: batches, and an error for each that cannot be answered."""

import numpy as np
import pytest
from family_plans import CPU, image_plan, trained
from in_process import quartet
from own_pictures import bring, draw
from typer.testing import CliRunner

from quartet.artifacts.errors import BadRequest
from quartet.artifacts.model_store import save_model
from quartet.artifacts.writing import read_json
from quartet.commands.bulk import BATCH, answers_in_bulk
from quartet.images.preparation import prepare_images
from quartet.images.serving import ImageClassifier
from quartet.images.settings import PreprocessImages


def halves(numbers):
    if any(number % 2 for number in numbers):
        raise ValueError("odd")
    return [number // 2 for number in numbers]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_question_gets_its_answer_or_its_error_in_order(batch):
    found = list(answers_in_bulk(iter(range(8)), halves, batch))
    assert [question for question, _ in found] == list(range(8))
    assert [answer for _, answer in found if not isinstance(answer, ValueError)] == [0, 1, 2, 3]
    assert {question for question, answer in found if isinstance(answer, ValueError)} == {1, 3, 5, 7}


def test_what_holds_for_all_questions_is_no_error_of_each():
    def refuse(numbers):
        raise BadRequest("a parameter is wrong")

    with pytest.raises(BadRequest, match="a parameter is wrong"):
        list(answers_in_bulk(range(3), refuse))


def test_questions_are_taken_as_they_are_needed():
    taken = []
    found = answers_in_bulk((taken.append(number) or number for number in range(0, 1000, 2)), halves, 10)
    assert next(found) == (0, 0) and len(taken) == 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier of digits, trained for a moment, and pictures: more than a batch, some of them broken."""
    folder = tmp_path_factory.mktemp("classify")
    bring(folder / "grey/raw")
    prepare_images(folder / "grey/raw", folder / "grey", PreprocessImages())
    _, plan = image_plan(folder, CPU)
    info = read_json(folder / "grey/info.json")
    data = {name: info[name] for name in (*plan.card_keys, "source", "sha256")}
    about = {"network": plan.description, "data": data, "training": {}}
    save_model(folder / "models/cnn", trained(image_plan, folder).weights, family="cnn", **about)
    for number in range(BATCH + 6):
        draw(folder / f"{number}.png", seed=number)
    (folder / "3.png").write_bytes(b"no picture")
    (folder / f"{BATCH + 2}.png").write_bytes((folder / "1.png").read_bytes()[:200])
    (folder / "5.png").unlink()
    (folder / "5.png").mkdir()
    return folder


def test_broken_files_are_named_and_the_others_classified(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = [f"{number}.png" for number in range(BATCH + 6)]
    done = CliRunner().invoke(quartet, ["classify", *names, "--top", "1"])
    assert done.exit_code == 1
    broken = ["3.png", "5.png", f"{BATCH + 2}.png"]
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [name for name in names if name not in broken]
    *errors, last = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in errors] == [["classify", name] for name in broken]
    assert last == f"classify: 3 of {len(names)} files could not be classified"
    whole = CliRunner().invoke(quartet, ["classify", *names[:3], "--top", "1"])
    assert whole.exit_code == 0 and not whole.stderr and whole.stdout == "".join(done.stdout.splitlines(True)[:3])


def test_a_batch_holds_no_more_pictures_than_it_should(folder, monkeypatch):
    sizes = []
    classify = ImageClassifier.classify
    monkeypatch.setattr(ImageClassifier, "classify", lambda self, pictures: sizes.append(0) or classify(self, pictures))
    model = ImageClassifier(folder / "models/cnn")
    paths = [folder / f"{number % 3}.png" for number in range(2 * BATCH + 1)]
    answers = [answer.probability for _, answer in answers_in_bulk(paths, model.classify_files)]
    assert len(sizes) == 3 and np.allclose(answers, (answers[:3] * len(paths))[: len(paths)], rtol=1e-4)
