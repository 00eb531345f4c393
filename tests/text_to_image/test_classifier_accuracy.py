"""The classifiers of the accuracy score: minutes of training show a bar on a terminal, and nothing elsewhere."""

import os
import pty
import subprocess
import sys

TRAININGS = """
import torch
from quartet.text_to_image.classifier_accuracy import classifier_accuracy
from quartet.images.settings import TrainCnn

images = torch.randint(256, (8, 1, 8, 8), dtype=torch.uint8), torch.arange(8) % 2
info = {"classes": ["a", "b"], "channels": 1, "size": 8, "mean": [0.5], "std": [0.3]}
settings = TrainCnn(width=4, steps=2, batch_size=4, precision="float32")
device = torch.device("cpu")
classifier_accuracy("drawn", settings, info, seeds=range(2), device=device, train=images, test=images)
"""


def test_on_a_terminal_a_bar_counts_the_trainings():
    terminal, output = pty.openpty()
    wide = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", TRAININGS], stdout=output, stderr=output, env=wide)
    os.close(output)
    text = b""
    try:
        while part := os.read(terminal, 4096):
            text += part
    except OSError:  # how Linux ends what a terminal had to say
        pass
    os.close(terminal)
    assert process.wait() == 0
    assert "classifiers of drawn images" in text.decode()
    assert "100%" in text.decode()
    assert "step" not in text.decode()  # of the trainings themselves


def test_elsewhere_they_are_silent():
    done = subprocess.run([sys.executable, "-c", TRAININGS], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "classifiers" not in done.stderr
