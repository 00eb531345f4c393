"""Train a forecaster: batches of windows, loss, validation."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quartet.artifacts.errors import BadInput
from quartet.artifacts.rebuilding import build_network
from quartet.datasets.batches import ShuffledBatches
from quartet.sequences.forecasting.windows import Windows, joined, load_windows
from quartet.sequences.networks import NETWORKS
from quartet.sequences.networks.forecaster import Forecaster, band_spread, pinball
from quartet.sequences.settings import TrainRnn
from quartet.sequences.training.batched_training import BatchedTraining
from quartet.sequences.training.goals import REGRESSION_LOSSES
from quartet.training.parallel.share import own_rows
from quartet.training.task import Batch, Chance

SCORED = 4096  # windows of the validation split, at equal distances


def describe_forecaster(settings: TrainRnn, info: Mapping) -> dict[str, object]:
    """The arguments that build the forecaster in the settings.

    Raises:
        BadInput: the network in the settings does not forecast.
    """
    if settings.network == "kernels":
        raise BadInput(
            f"{info['source']}: train_rnn.network = kernels sorts whole series; a forecast takes linear or recurrent"
        )
    known = len(info["known"])
    size = {"window": info["window"], "horizon": info["horizon"], "features": info["features"] - known, "known": known}
    if settings.network == "linear":
        return {"name": "forecaster", **size}
    return {
        "name": "forecaster",
        **size,
        "cell": settings.cell,
        "hidden_size": settings.hidden_size,
        "layers": settings.layers,
        "dropout": settings.dropout,
    }


class ForecastTraining(BatchedTraining):
    """A training that says how each window goes on.

    Args:
        settings: of the training.
        info: the `info.json` of the series.
        device: where to train.
        seed: of the order of the windows.
        train, held_out: the splits.

    Raises:
        BadInput: the network in the settings does not forecast, or no window fits into the training stretch.
    """

    def __init__(
        self, settings: TrainRnn, info: Mapping, device: torch.device, *, seed: int, train: Windows, held_out: Windows
    ):
        if not len(train):
            raise BadInput(
                f"{info['source']}: no training stretch is as long as a window and a horizon together, "
                f"{info['window']} + {info['horizon']} steps; lower preprocess.sequences.window or .horizon"
            )
        self.settings = settings
        self.train, self.held_out = train.to(device), held_out.to(device)
        self.batches = ShuffledBatches(len(train), settings.batch_size, seed, device)
        self.description = describe_forecaster(settings, info)
        self.network = build_network(NETWORKS, self.description).to(device)

    def batch_of(self, examples: Batch, generator: torch.Generator) -> Batch:
        """The past, what is known of the future, and what is to be forecast."""
        (chosen,) = examples
        return self.train.at(own_rows(chosen))

    def loss_of(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of the mean in the settings, plus the pinball loss of the quantiles."""
        past, ahead, actual = batch
        outputs = network(past, ahead)
        return REGRESSION_LOSSES[self.settings.loss](outputs[..., 0], actual) + pinball(outputs, actual).mean()

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss, and squared error of the standardised mean, on windows of the validation split."""
        losses, squares, count = 0.0, 0.0, 0
        for past, ahead, actual in self._some_held_out():
            outputs = network(past, ahead)
            errors = F.mse_loss(outputs[..., 0], actual, reduction="none")
            losses += (errors + pinball(outputs, actual)).cpu().double().sum().item()
            squares += errors.cpu().double().sum().item()
            count += errors.numel()
        return {"loss": losses / count, "mse": squares / count, "score": -squares / count}

    def chance(self) -> Chance:
        """The score of the mean of the training stretch, which is zero when standardised."""
        squares = torch.cat([actual.cpu().double().square().flatten() for _, _, actual in self._some_held_out()])
        return Chance("the mean of the training stretch", -squares.mean().item())

    @torch.no_grad()
    def fit_calibration(self, network: Forecaster) -> dict[str, float]:
        """The spread of the band between the outer quantiles."""
        outputs, actual = [], []
        for past, ahead, truth in self._some_held_out():
            outputs.append(network.forecast(past, ahead))
            actual.append(truth)
        return {"spread": band_spread(torch.cat(outputs), torch.cat(actual))}

    def _some_held_out(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches of at most `SCORED` windows of the validation split, or a few more."""
        count = len(self.held_out)
        chosen = torch.arange(0, count, max(1, count // SCORED), device=self.held_out.origins.device)
        return map(self.held_out.at, chosen.split(4 * self.settings.batch_size))


def forecast_training(
    settings: TrainRnn, *, seed: int, folder: Path, info: Mapping, device: torch.device
) -> ForecastTraining:
    """The training on the processed series in `folder`; `info` is their `info.json`."""
    train, held_out = (load_windows(folder, split, info) for split in ("train", "validation"))
    if settings.include_validation:
        train = joined(train, held_out)
    return ForecastTraining(settings, info, device, seed=seed, train=train, held_out=held_out)
