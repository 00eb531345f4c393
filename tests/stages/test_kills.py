"""Stages that are killed or told to stop: what they wrote before stays, and the next run ends with the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from real_text import REFERENCE

TESTS = Path(__file__).parents[1]
PARAMS = """
download: {text: "file:own.txt"}
preprocess: {text: {vocabulary_size: 300}}
train_cnn: {steps: 8, validate_every: 3, width: 4}
train_rnn: {steps: 8, validate_every: 3, hidden_size: 8}
train_lm: {steps: 8, validate_every: 3, width: 16, layers: 1, heads: 2, context: 16}
train_diffusion: {steps: 8, validate_every: 3, width: 8, text_width: 16, text_heads: 2}
evaluate:
  diffusion: {images: 20, swept_images: 20, steps: 2, classifiers: 2, classifier_steps: 20}
"""
FAMILIES = {"cnn": "images", "rnn": "sequences", "lm": "text", "diffusion": "images"}
TRAINED = [f"reports/{{key}}/{name}" for name in ("training", "training.csv", "training.json")] + ["models/{key}"]
EVALUATED = ["evaluation", "confusion.png", "confusion.csv", "confusion_matrix.csv", "metrics.json"]


class Pipeline:
    """A folder in which everything is built, small, and a process that runs scripts with `forked_stages` in it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "params.yaml").write_text(PARAMS)
        (folder / "own.txt").write_text(REFERENCE[:100_000])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "QUARTET_"))}
        own = {"PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}", "QUARTET_TRACKING": "off", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "forked_stages"],
            cwd=folder,
            env={**inherited, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, script):
        """What a script prints, which must succeed."""
        (self.folder / "script.py").write_text(script)
        print("script.py", file=self.process.stdin, flush=True)
        printed = []
        for line in self.process.stdout:
            if line.startswith("ended with "):
                assert line == "ended with 0\n", "".join(printed)[-3000:]
                return "".join(printed)
            printed.append(line)
        pytest.fail("".join(printed)[-3000:])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    made = Pipeline(tmp_path_factory.mktemp("pipeline"))
    made.run(f"""
stages = [("download", "weights")]
stages += [(stage, item) for item in ("images", "text", "sequences") for stage in ("download", "preprocess")]
stages += [stage for key in {list(FAMILIES)} for stage in [("train_" + key,), ("evaluate", key)]] + [("report",)]
for stage in stages:
    code, text = forked(*stage)
    assert code == 0, text
""")
    yield made
    made.process.stdin.close()
    made.process.wait()


@pytest.mark.parametrize("key", FAMILIES)
def test_every_output_of_a_killed_and_resumed_training_has_the_same_bytes(pipeline, key):
    """History and pictures too; killed by SIGKILL between two validations."""
    outputs = [place.format(key=key) for place in TRAINED]
    script = f"""
whole = checksums({outputs})
assert all(whole.values()), whole
for output in {outputs}:
    exchanging.remove(Path(output))
code, text = forked("train_{key}", prepare=lambda: stop_training(KILLED, 5))
assert code == -KILLED, text
code, text = forked("train_{key}")
assert code == 0 and "resuming from step 5 of 8" in text, text
assert checksums({outputs}) == whole
"""
    pipeline.run(script)


@pytest.mark.parametrize("signal", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_signal_saves_and_the_training_goes_on_to_the_same_bytes(pipeline, signal):
    outputs = [place.format(key="rnn") for place in TRAINED]
    script = f"""
whole = checksums({outputs})
code, text = forked("train_rnn", prepare=lambda: stop_training(signal.{signal}, 4))
assert code == 128 + signal.{signal} and "stopped at step 5 of 8" in text, (code, text)
code, text = forked("train_rnn")
assert code == 0 and "resuming from step 5 of 8" in text, text
assert checksums({outputs}) == whole
"""
    pipeline.run(script)


@pytest.mark.parametrize(
    ("stage", "words", "outputs", "exchanges", "least"),
    [
        ("download", ["images"], ["data/raw/images"], True, 1),
        ("preprocess", ["images"], ["data/processed/images"], True, 1),
        ("preprocess", ["images"], ["data/processed/images"], False, 2),
        ("train_cnn", [], [place.format(key="cnn") for place in TRAINED], True, 5),
        ("train_cnn", [], [place.format(key="cnn") for place in TRAINED], False, 7),
        ("evaluate", ["cnn"], [f"reports/cnn/{name}" for name in EVALUATED], True, 5),
        ("report", [], ["reports/index.html"], True, 1),
    ],
    ids=["download", "preprocess", "preprocess, no exchange", "train", "train, no exchange", "evaluate", "report"],
)
def test_a_kill_at_any_rename_leaves_every_output_whole(pipeline, stage, words, outputs, exchanges, least):
    script = f"print(killed_at_every_rename({stage!r}, {words}, {outputs}, exchanges={exchanges}))"
    kills = int(pipeline.run(script).split()[-1])
    assert kills >= 2 * least


def test_the_second_of_two_stages_on_one_output_says_who_holds_it(pipeline):
    """A stage that is killed holds it no longer."""
    script = """
from quartet.artifacts.output_locks import sole_writer
with sole_writer(Path("data/raw/images")):
    code, text = forked("download", "images")
    assert code == 1 and f"data/raw/images is being written by process {os.getpid()}" in text, text
    assert forked("download", "weights")[0] == 0
assert forked("download", "images", prepare=lambda: kill_at_rename(1, after=False, exchanges=True))[0] == -KILLED
code, text = forked("download", "images")
assert code == 0, text
"""
    pipeline.run(script)
