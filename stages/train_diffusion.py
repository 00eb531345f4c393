"""Train text to image: `python -m stages.train_diffusion`.

Reads `data/processed/images`; writes `models/diffusion` and the training's part of `reports/diffusion`.
"""

import math
from pathlib import Path
from typing import Annotated

import typer

VALIDATED_AT_ONCE = 256  # pictures
MATCHED = 4  # the matcher learns sooner: one picture of so many is enough for it


def main(params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml")) -> None:
    """Train text encoder and UNet together; keep those with the smallest validation loss, or the last."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("train_diffusion"):
        from quartet.params import read_params

        settings = read_params(params)  # before the slow imports
        from quartet.evaluation.training_run import run_training

        run_training("diffusion", "images", settings, diffusion_plan)


def diffusion_plan(params, folder, info, device):
    """Network, batches, loss and validation for the loop."""
    import torch
    from torch.nn import functional as F

    from quartet.datasets.batches import ShuffledBatches
    from quartet.datasets.captions import TEMPLATES, captioner
    from quartet.datasets.images import load_images
    from quartet.evaluation.training_run import Plan
    from quartet.networks.building import build_network
    from quartet.networks.noise_schedules import add_noise, draw_times, training_target
    from quartet.networks.text_encoder import without_caption
    from quartet.networks.unet import patch_side
    from quartet.training.compiling import compiled
    from quartet.training.loop import Task

    settings = params.train_diffusion
    schedule = "flow" if settings.objective == "flow" else settings.noise_schedule
    images, labels = (tensor.to(device) for tensor in load_images(folder, "train"))
    held_out, held_out_labels = (tensor.to(device) for tensor in load_images(folder, "validation"))
    captions = captioner(info)
    prompts = captions.table(TEMPLATES).to(device)  # (classes, templates, words)
    description = {
        "name": "text-to-image",
        "channels": info["channels"],
        "size": info["size"],
        "vocabulary_size": captions.vocabulary_size,
        "words": prompts.shape[-1],
        "width": settings.width,
        "text_width": settings.text_width,
        "text_layers": settings.text_layers,
        "text_heads": settings.text_heads,
        "dropout": settings.dropout,
        "norm_groups": settings.norm_groups,
        "objective": settings.objective,
        "schedule": schedule,
        "matched_words": captions.telling_words if settings.matcher else [],
    }
    places = info["size"] // patch_side(info["size"])
    if info["size"] > 16 and (places > 16 or places % 2):
        print(
            f"pictures of {info['size']} pixels are taken as {places}×{places} patches: the network is slower or sees "
            "less at once; preprocess.images.size: a multiple of 16 is best",
            flush=True,
        )
    batches = ShuffledBatches(len(images), settings.batch_size, params.seed, device)

    def to_signed(pixels):
        return pixels.float() / 127.5 - 1  # [-1, 1]

    def noisy(clean, labels, generator):
        """Pictures part of the way to noise, their times and captions, and what is to be predicted of each."""
        noise = torch.randn(clean.shape, generator=generator, device=device)
        times = draw_times(schedule, len(clean), generator)
        template = torch.randint(prompts.shape[1], (len(clean),), generator=generator, device=device)
        caption = prompts[labels, template]  # (batch, words)
        target = training_target(clean, noise, times, settings.objective, schedule)
        return add_noise(clean, noise, times, schedule), times, caption, target

    def batch_of(examples, generator):
        (chosen,) = examples
        clean = to_signed(images[chosen])
        pictures, times, caption, target = noisy(clean, labels[chosen], generator)
        dropped = torch.rand(len(chosen), 1, generator=generator, device=device) < settings.caption_dropout
        told = torch.where(dropped, without_caption(caption), caption)
        few = math.ceil(len(chosen) / MATCHED)
        return pictures, times, told, target, clean[:few], caption[:few]

    def denoising_loss(network, pictures, times, caption, target):
        return F.mse_loss(network(pictures, times, caption), target)

    def loss_over(network, *split):
        """The mean over a whole split, of which only so much at a time is in memory as in training."""
        parts = zip(*(tensor.split(VALIDATED_AT_ONCE) for tensor in split), strict=True)
        return sum(denoising_loss(network, *part).item() * (len(part[0]) / len(split[0])) for part in parts)

    def loss_of(network, batch):
        *noisy_pictures, clean, caption = batch
        loss = denoising_loss(network, *noisy_pictures)
        return loss if network.matcher is None else loss - network.matcher.log_likelihood(clean, caption).mean()

    @torch.no_grad()
    def validate(network):
        # The same noise and times each time, several per picture, so that scores differ by the network alone.
        generator = torch.Generator(device).manual_seed(params.seed)
        repeats = max(1, 2000 // len(held_out))
        loss = sum(loss_over(network, *noisy(to_signed(held_out), held_out_labels, generator)) for _ in range(repeats))
        loss = loss / repeats
        return {"loss": loss, "score": -loss}

    task = Task(
        network=build_network(description).to(device),
        examples_at=lambda number: (batches.indices(number),),
        batch_of=batch_of,
        loss_of=compiled(loss_of) if settings.compile else loss_of,
        validate=validate,
        steps=settings.steps,
        validate_every=settings.validate_every,
        replayable=True,
    )
    return Plan(task, description, ("classes", "caption_subject", "channels", "size"))


if __name__ == "__main__":
    typer.run(main)
