"""The pictures of the evaluation of text to image: samples, nearest training images, processes, interpolations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quartet.datasets.images import Images
from quartet.reporting.drawing.figures import save_figure
from quartet.reporting.image_sheets import image_sheet, save_animation, wrapped
from quartet.text_to_image.captions.templates import TEMPLATES, Captioner
from quartet.text_to_image.class_pictures import drawing_arguments
from quartet.text_to_image.generated_images import nearest
from quartet.text_to_image.guidance import guided
from quartet.text_to_image.networks.text_to_image import TextToImage
from quartet.text_to_image.noise_schedules import add_noise, to_signed
from quartet.text_to_image.samplers import denoising_times, drawing, final_pictures, solver, to_uint8
from quartet.text_to_image.settings import EvaluateDiffusion

SHEET_ROWS, SHEET_COLUMNS = 10, 10
STRIP, STRIP_ROWS = 9, 4  # steps and captions shown of a process
BETWEEN_ROWS = 4  # pairs of captions that pictures are drawn between
NARROW, WIDE = 0.85, 1.2  # inches per picture; captions above it need more


def draw_samples(path: Path, pictures: Tensor, labels: Tensor, asked_by: Tensor, captions: Captioner) -> None:
    """Draw one row of pictures per caption: classes in order, templates in turn."""
    rows, names = [], []
    for label in evenly_spaced(labels.unique(), SHEET_ROWS).tolist():
        of_class = labels == label
        templates = asked_by[of_class].unique()
        template = templates[label % len(templates)]
        rows.append(pictures[of_class & (asked_by == template)][:SHEET_COLUMNS].cpu().numpy())
        names.append(captions.caption(label, TEMPLATES[template]))
    save_figure(image_sheet(rows, names, title="Drawn from their captions"), path)


def draw_caption_samples(path: Path, pictures: Tensor, owners: Tensor, captions: Sequence[str]) -> None:
    """Draw one row of pictures for some of the captions; `owners` are the captions of the pictures, `(pictures,)`."""
    shown = evenly_spaced(owners.unique(), SHEET_ROWS).tolist()
    rows = [pictures[owners == owner][:SHEET_COLUMNS].cpu().numpy() for owner in shown]
    names = [captions[owner] for owner in shown]
    save_figure(image_sheet(rows, names, title="Drawn from their captions"), path)


def draw_neighbours(
    path: Path, pictures: Tensor, labels: Tensor, train: Images, names: Sequence[str], cell: float = NARROW
) -> None:
    """Draw some generated pictures, one per label, above their nearest training images.

    `labels` are `(pictures,)`, `names` what to call each label, and `cell` is in inches per picture.
    """
    chosen = torch.stack([(labels == label).nonzero()[0, 0] for label in evenly_spaced(labels.unique(), SHEET_ROWS)])
    distances, numbers = nearest(pictures[chosen], train)
    rows = [pictures[chosen].cpu().numpy(), train[numbers.to(train.device)].cpu().numpy()]
    asked = [wrapped(names[label], cell) for label in labels[chosen].tolist()]
    titles = [asked, [f"{d:.2f}" for d in distances.tolist()]]
    title = "Nearest training images and distances"
    save_figure(image_sheet(rows, ["drawn", "nearest training image"], titles, title, cell), path)


def draw_forward_process(path: Path, image: Tensor, schedule: str, generator: torch.Generator) -> None:
    """Draw how a training image `(channels, size, size)` uint8 turns into noise."""
    times = torch.linspace(0, 1, STRIP, device=image.device)
    clean = to_signed(image)[None].expand(STRIP, -1, -1, -1)
    noise = torch.randn(1, *image.shape, generator=generator, device=image.device).expand(STRIP, -1, -1, -1)
    forward = to_uint8(add_noise(clean, noise, times, schedule)).cpu().numpy()
    titles = [[f"t = {time:.2f}" for time in times.tolist()]]
    save_figure(image_sheet([forward], ["x_t"], titles, "Forward process: a picture turns into noise"), path)


def draw_reverse_process(
    folder: Path,
    network: TextToImage,
    prompts: Tensor,
    names: Sequence[str],
    how: EvaluateDiffusion,
    generator: torch.Generator,
) -> None:
    """Draw how noise turns into pictures of a few captions: `reverse_process.png` and `animation.gif`.

    `prompts` are `(captions, words)` ids, and `names` the captions.
    """
    device, count = generator.device, len(prompts)
    start = torch.randn(count, *network.picture_shape, generator=generator, device=device)
    on_the_way = drawing(network, prompts, start, generator=generator, **drawing_arguments(how))
    frames = [to_uint8(pictures).cpu().numpy() for pictures in (how.temperature * start, *on_the_way)]
    shown = evenly_spaced(torch.arange(how.steps + 1), STRIP).tolist()
    rows = [np.stack([frames[place][row] for place in shown]) for row in range(count)]
    times = [f"t = {time:.2f}" for time in denoising_times(how.steps, network.schedule)[shown].tolist()]
    titles = [times, *[[""] * len(shown)] * (count - 1)]
    figure = image_sheet(rows, names, titles, "Reverse process: from noise to a picture")
    save_figure(figure, folder / "reverse_process.png")
    save_animation([np.concatenate(list(frame), axis=2) for frame in frames], folder / "animation.gif")  # side by side


@torch.no_grad()
def draw_interpolation(
    path: Path,
    network: TextToImage,
    prompts: Tensor,
    names: Sequence[str],
    how: EvaluateDiffusion,
    generator: torch.Generator,
) -> None:
    """Draw pictures between two captions, a row for each pair, from the same noise (`guidance.between`).

    `prompts` are `(captions, words)` ids, a pair next to each other, and `names` the captions. A last one that has no
    other is left out, and nothing is drawn where there is no pair.
    """
    first, second = prompts[0:-1:2], prompts[1::2]
    if not len(second):
        return
    noise = torch.randn(len(first), *network.picture_shape, generator=generator, device=generator.device)
    state, times, frames = generator.get_state(), denoising_times(how.steps, network.schedule), []
    for share in torch.linspace(0, 1, STRIP, dtype=torch.float64).tolist():
        generator.set_state(state)  # noise that the sampler adds is the same along a row, too
        predict = guided(network, first, how.guidance, towards=second, share=share)
        way = solver(network, predict, how.sampler, generator)(how.temperature * noise, times)
        frames.append(to_uint8(final_pictures(way)).cpu().numpy())
    said = [wrapped(name, WIDE) for name in names]
    titles = [[said[2 * row], *[""] * (STRIP - 2), said[2 * row + 1]] for row in range(len(first))]
    figure = image_sheet(list(np.stack(frames, axis=1)), [""] * len(first), titles, "From one caption to another", WIDE)
    save_figure(figure, path)


def evenly_spaced(values: Tensor, count: int) -> Tensor:
    """`count` evenly spaced values, or all if there are no more."""
    return values[torch.linspace(0, len(values) - 1, min(count, len(values))).round().long().to(values.device)]
