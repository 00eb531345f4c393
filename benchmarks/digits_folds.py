"""Cross-validation of `compact` on all 1,797 digits: `python -m benchmarks.digits_folds`.

A network trained on nine of ten stratified folds, with the settings of `params.yaml`, predicts the tenth; nothing is
chosen on the predicted fold. Prints the out-of-fold accuracy, and that of a support-vector machine. Takes about three
minutes on 2 cores.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

if TYPE_CHECKING:
    from quartet.images.settings import TrainCnn
    from quartet.params.shared import Runtime


def main(
    params: Annotated[Path, typer.Option(help="The settings file.")] = Path("params.yaml"),
    folds: Annotated[int, typer.Option(help="Number of folds.", min=2)] = 10,
    seeds: Annotated[int, typer.Option(help="Number of training seeds.", min=1)] = 1,
) -> None:
    """Print the out-of-fold accuracy of the convolutional network and of a support-vector machine."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.svm import SVC

    from quartet.settings import read_settings

    settings = read_settings(params)
    classifier = settings.training("cnn")
    digits = load_digits()
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    machine = cross_val_predict(SVC(gamma=0.001, C=10), digits.data, digits.target, cv=split)
    print(f"support-vector machine: {(machine == digits.target).mean():.4f}", flush=True)
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    accuracies = []
    for seed in range(seeds):
        right = sum(
            right_in_fold(classifier, settings.runtime, seed, pixels, digits.target, train, test)
            for train, test in split.split(pixels, digits.target)
        )
        accuracies.append(right / len(pixels))
        print(f"{classifier.network}, seed {seed}: {accuracies[-1]:.4f}", flush=True)
    print(f"mean {np.mean(accuracies):.4f}, spread {np.std(accuracies):.4f} over {seeds} seeds")


def right_in_fold(
    settings: "TrainCnn",
    runtime: "Runtime",
    seed: int,
    pixels: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> int:
    """Train on one part; returns how many examples of the other part the last weights classify correctly."""
    import torch

    from quartet.text_to_image.classifier_accuracy import accuracy_after_training
    from quartet.training.devices import pick_device
    from quartet.training.seeding import seed_everything

    seed_everything(seed)
    shares = pixels[train] / 255
    info = {"classes": range(10), "size": 8, "channels": 1, "mean": [shares.mean()], "std": [shares.std()]}
    images, targets = torch.from_numpy(pixels), torch.from_numpy(labels)
    parts = {"train": (images[train], targets[train]), "test": (images[test], targets[test])}
    device = pick_device(runtime)
    accuracy = accuracy_after_training(settings, info, device, seed=seed, **parts)
    return round(accuracy * len(test))


if __name__ == "__main__":
    typer.run(main)
