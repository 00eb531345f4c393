"""Augment whole batches of images on their device, with separate random parameters for each image.

An affine transform (by `affine_grid`, as torchvision does for a single image), brightness and contrast (as in
torchvision's `adjust_brightness` and `adjust_contrast`), horizontal flips, and cutout.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from quartet.params.shared import Augmentation

CROP_PROPORTION = 4 / 3  # the widest crop, and the inverse of the narrowest

# A function of images, and its keyword arguments.
Transform = tuple[Callable[..., Tensor], dict[str, Tensor | float | str]]


def augment(images: Tensor, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    """Change each image randomly.

    Args:
        images: `(batch, channels, height, width)` in [0, 1].
        ranges: the largest changes; 0 switches a change off.
        generator: source of randomness, on the images' device.

    Returns:
        Images of the same shape, in [0, 1].
    """
    return apply_transforms(images, random_transforms(ranges, len(images), generator))


def random_transforms(ranges: Augmentation, batch: int, generator: torch.Generator) -> list[Transform]:
    """Draw the transforms of a batch, in the order in which they apply, with parameters for each image."""

    def uniform(count: int) -> Tensor:
        return torch.rand(batch, count, generator=generator, device=generator.device)

    def symmetric(limit: float, count: int = 1) -> Tensor:
        return limit * (2 * uniform(count) - 1)

    transforms: list[Transform] = []
    if ranges.rotation or ranges.shift or ranges.scale or ranges.shear:
        moved: dict[str, Tensor | float | str] = {
            "degrees": symmetric(ranges.rotation)[:, 0],
            "shifts": symmetric(ranges.shift, 2),
            "scales": 1 + symmetric(ranges.scale)[:, 0],
            "shears": symmetric(ranges.shear)[:, 0],
            "interpolation": ranges.interpolation,
        }
        transforms.append((affine, moved))
    if ranges.crop:
        areas = ranges.crop + (1 - ranges.crop) * uniform(1)[:, 0]
        proportions = torch.exp(symmetric(math.log(CROP_PROPORTION))[:, 0])
        transforms.append((crop, {"areas": areas, "proportions": proportions, "places": uniform(2)}))
    if ranges.brightness:
        transforms.append((adjust_brightness, {"factors": 1 + symmetric(ranges.brightness)[:, 0]}))
    if ranges.contrast:
        transforms.append((adjust_contrast, {"factors": 1 + symmetric(ranges.contrast)[:, 0]}))
    if ranges.flip:
        transforms.append((flip_horizontally, {"chosen": uniform(1)[:, 0] < ranges.flip}))
    if ranges.cutout:
        transforms.append((cut_out, {"share": ranges.cutout, "places": uniform(2)}))
    return transforms


def apply_transforms(images: Tensor, transforms: list[Transform]) -> Tensor:
    """Apply transforms to `(batch, channels, height, width)` images in [0, 1].

    It draws no random numbers, so that it can be compiled.
    """
    for transform, parameters in transforms:
        images = transform(images, **parameters)
    return images


def affine(
    images: Tensor,
    *,
    degrees: Tensor,
    shifts: Tensor,
    scales: Tensor,
    shears: Tensor,
    interpolation: str = "bilinear",
) -> Tensor:
    """Scale, shear and rotate each image about its centre, then shift it; pixels from outside are black.

    Args:
        images: `(batch, channels, height, width)`.
        degrees: `(batch,)` rotations, counter-clockwise.
        shifts: `(batch, 2)`, right and down, as shares of the width and height.
        scales: `(batch,)` factors.
        shears: `(batch,)` angles in degrees; a positive one moves the top to the right.
        interpolation: `bilinear`, which blurs a little, `bicubic` (Keys 1981, with a = −0.75), which keeps edges, or
            `nearest`, which keeps pixels, so that a shift is one by whole pixels.
    """
    height, width = images.shape[-2:]
    angles = torch.deg2rad(degrees)
    cos, sin, slant = torch.cos(angles), torch.sin(angles), torch.tan(torch.deg2rad(shears))
    # The map from output to input, in pixels from the centre: undo the rotation, the shear, the scale.
    matrix = [
        [(cos + slant * sin) / scales, (slant * cos - sin) / scales],
        [sin / scales, cos / scales],
    ]
    # The grid's coordinates run from -1 to 1 along both sides.
    aspect = height / width
    matrix[0][1], matrix[1][0] = matrix[0][1] * aspect, matrix[1][0] / aspect
    right, down = 2 * shifts[:, 0], 2 * shifts[:, 1]
    rows = [torch.stack([a, b, -(a * right + b * down)], dim=1) for a, b in matrix]
    matrices = torch.stack(rows, dim=1)  # (batch, 2, 3)
    grid = F.affine_grid(matrices.to(images.dtype), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode=interpolation, padding_mode="zeros", align_corners=False)
    return moved.clamp(0, 1) if interpolation == "bicubic" else moved  # cubic polynomials overshoot at edges


def flip_horizontally(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the images for which `chosen`, `(batch,)`, is true."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def cut_out(images: Tensor, share: float, places: Tensor) -> Tensor:
    """Blacken a square in each image (DeVries & Taylor 2017).

    `share` is the square's side as a share of the image's side; `places` `(batch, 2)` in [0, 1] are the squares'
    centres, down and right. Part of a square may lie outside the image.
    """
    return images.masked_fill(squares(images.shape[2], images.shape[3], places, share), 0.0)


def squares(height: int, width: int, places: Tensor, shares: Tensor | float) -> Tensor:
    """Which pixels of pictures are in a square: `(batch, 1, height, width)` bool.

    `places` `(batch, 2)` in [0, 1] are the squares' centres, down and right; `shares`, of all or `(batch,)`, are their
    sides as shares of the picture's.
    """
    if isinstance(shares, Tensor):
        shares = shares[:, None]
    inside = []
    for side, place in ((height, places[:, 0]), (width, places[:, 1])):
        distance = (torch.arange(side, device=places.device) + 0.5 - place[:, None] * side).abs()
        inside.append(distance <= shares * side / 2)  # (batch, side)
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


def crop(images: Tensor, areas: Tensor, proportions: Tensor, places: Tensor) -> Tensor:
    """Cut a part out of each image and resize it to the whole ("random resized crop", Szegedy et al. 2015).

    Args:
        images: `(batch, channels, side, side)`.
        areas: `(batch,)` shares of the image.
        proportions: `(batch,)`, width divided by height.
        places: `(batch, 2)` from 0 to 1: left or right, top or bottom.
    """
    root = proportions.sqrt()
    shares = torch.stack([areas.sqrt() * root, areas.sqrt() / root], dim=1).clamp(max=1)  # of the width, of the height
    centres = (1 - shares) * (2 * places - 1)  # the image is from -1 to 1
    matrices = torch.cat([torch.diag_embed(shares), centres[:, :, None]], dim=2)  # (batch, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply each image by its factor; `factors` is `(batch,)`."""
    return (images * factors.view(-1, 1, 1, 1)).clamp(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Move each image away from its mean grey by its factor; `factors` is `(batch,)`."""
    if images.shape[1] == 3:
        red, green, blue = images.split(1, dim=1)
        grey = 0.2989 * red + 0.587 * green + 0.114 * blue  # ITU-R 601 luma
    else:
        grey = images
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + (images - mean) * factors.view(-1, 1, 1, 1)).clamp(0, 1)
