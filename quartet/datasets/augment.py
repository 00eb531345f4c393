"""Random changes of whole image batches, on their device, with parameters of each image's own.

One affine map and one tone curve per image: rotation and shift by resampling (`affine_grid`, as torchvision does for a
single picture), brightness and contrast as torchvision's `adjust_brightness` and `adjust_contrast` define them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.params.sections import Augmentation


def augment(images: Tensor, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    """Change each image by its own random parameters.

    Args:
        images: `(batch, channels, height, width)` in [0, 1].
        ranges: largest changes; 0 switches one off.
        generator: source of randomness, on the images' device.

    Returns:
        Images of the same shape, in [0, 1].
    """
    batch = len(images)

    def symmetric(limit: float, count: int) -> Tensor:
        return limit * (2 * torch.rand(batch, count, generator=generator, device=images.device) - 1)

    if ranges.rotation or ranges.shift:
        degrees = symmetric(ranges.rotation, 1)[:, 0]
        shifts = symmetric(ranges.shift, 2)
        images = rotate_and_shift(images, degrees, shifts)
    if ranges.brightness:
        images = adjust_brightness(images, 1 + symmetric(ranges.brightness, 1)[:, 0])
    if ranges.contrast:
        images = adjust_contrast(images, 1 + symmetric(ranges.contrast, 1)[:, 0])
    return images


def rotate_and_shift(images: Tensor, degrees: Tensor, shifts: Tensor) -> Tensor:
    """Rotate about the centre, then shift; what comes from outside is black.

    Args:
        images: `(batch, channels, height, width)`.
        degrees: `(batch,)`, counter-clockwise.
        shifts: `(batch, 2)`, right and down, in shares of the width and height.
    """
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees)
    cos, sin = torch.cos(angle), torch.sin(angle)
    right, down = 2 * shifts[:, 0], 2 * shifts[:, 1]  # grid coordinates run from -1 to 1
    aspect = height / width
    # affine_grid wants the map from output to input: first undo the shift, then the rotation.
    rows = (
        [cos, -sin * aspect, -(cos * right - sin * aspect * down)],
        [sin / aspect, cos, -(sin / aspect * right + cos * down)],
    )
    matrices = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (batch, 2, 3)
    grid = F.affine_grid(matrices.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply each image by its factor; `factors` is `(batch,)`."""
    return (images * factors.view(-1, 1, 1, 1)).clamp(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Move each image away from its mean grey by its factor; `factors` is `(batch,)`."""
    if images.shape[1] == 3:
        weights = images.new_tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R 601 luma
        grey = (images * weights).sum(dim=1, keepdim=True)
    else:
        grey = images
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + (images - mean) * factors.view(-1, 1, 1, 1)).clamp(0, 1)
