"""The textbook loop for image classification, for comparison in `benchmarks/images.py`.

It passes one PIL image at a time through torchvision's transforms, with a `DataLoader`, Adam in float32, and `.item()`
at every step.
"""

import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

NORMALISE = transforms.Normalize([0.5] * 3, [0.5] * 3)
TRAINING = transforms.Compose(
    [
        transforms.ToPILImage(),
        transforms.Grayscale(num_output_channels=3),
        transforms.Resize((48, 48)),
        transforms.RandomRotation(10),
        transforms.ColorJitter(brightness=0.2, contrast=0.2),
        transforms.ToTensor(),
        NORMALISE,
    ]
)
TESTING = transforms.Compose(
    [
        transforms.ToPILImage(),
        transforms.Grayscale(num_output_channels=3),
        transforms.Resize((48, 48)),
        transforms.ToTensor(),
        NORMALISE,
    ]
)


class Pictures(Dataset):
    """Grey images `(images, 1, side, side)` uint8, transformed one by one."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), self.labels[index].item()


def textbook_training(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[int, float]]:
    """Train endlessly on the network's device; yields the images seen and the seconds so far after every batch."""
    device = next(network.parameters()).device
    loader = DataLoader(Pictures(images, labels, TRAINING), batch_size=64, shuffle=True, num_workers=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    seen, seconds, running_loss = 0, 0.0, 0.0
    while True:
        start = time.perf_counter()
        for inputs, targets in loader:
            network.train()
            optimizer.zero_grad()
            loss = criterion(network(inputs.to(device)), targets.to(device))
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            seen += len(targets)
            seconds += time.perf_counter() - start
            yield seen, seconds
            start = time.perf_counter()


@torch.no_grad()
def textbook_accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The network's accuracy."""
    network.eval()
    device = next(network.parameters()).device
    loader = DataLoader(Pictures(images, labels, TESTING), batch_size=256)
    right = ((network(inputs.to(device)).argmax(1).cpu() == targets).sum().item() for inputs, targets in loader)
    return sum(right) / len(images)
