"""The peers of the text-to-image benchmark: `diffusers` and `denoising-diffusion-pytorch`, as their examples train."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.diffusion_data import questions
from quartet.params.shared import Runtime
from quartet.text_to_image.settings import TrainDiffusion

TIMES, PEER_STEPS, BATCH = 1000, 50, 64
DRAWN_AT_ONCE = 250
WIDTHS = {16: (32, 64, 64), 32: (64, 128, 128)}  # of UNet2DModel: 1 and 4 million parameters
DIMENSIONS = {16: 20, 32: 40}  # of denoising-diffusion-pytorch: the same numbers of parameters


def train_diffusers(folder: Path, widths: tuple[int, ...], seconds: float, images: int) -> dict:
    """`diffusers`: epsilon, 1,000 linear steps, AdamW at 1e-4 after 500 warm-up steps, batch 64, averaged weights."""
    import torch
    from diffusers import DDIMScheduler, DDPMScheduler
    from diffusers.training_utils import EMAModel
    from torch.nn import functional as F

    from quartet.artifacts.writing import read_json
    from quartet.text_to_image.captions.open_captions import is_open
    from quartet.training.devices import pick_device

    torch.manual_seed(0)
    info, device = read_json(folder / "info.json"), pick_device(Runtime())
    network = diffusers_network(folder, info, widths, device).to(device)
    schedule = DDPMScheduler(num_train_timesteps=TIMES)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def step(pictures, asked, number):
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 * min(1, (number + 1) / 500)
        noise = torch.randn_like(pictures)
        times = torch.randint(TIMES, (len(pictures),), device=pictures.device)
        loss = F.mse_loss(network(schedule.add_noise(pictures, noise, times), times, asked), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.step(network.parameters())

    def draw(asked):
        reverse = DDIMScheduler.from_config(schedule.config)
        reverse.set_timesteps(PEER_STEPS)
        pictures = torch.randn(len(asked), info["channels"], info["size"], info["size"], device=asked.device)
        for moment in reverse.timesteps:
            pictures = reverse.step(network(pictures, moment, asked), moment, pictures).prev_sample
        return pictures

    def take_average():
        average.copy_to(network.parameters())
        network.eval()

    return train_peer(folder, network, step, draw, take_average, seconds, images, PEER_STEPS, reads=is_open(info))


def diffusers_network(folder: Path, info: Mapping, widths: tuple[int, ...], device):
    """The denoiser of `diffusers` as a function of pictures, times and what is asked for.

    Class labels where class names make the captions; else the ids of captions, which our text encoder reads.
    """
    from diffusers import UNet2DConditionModel, UNet2DModel
    from torch import nn

    from quartet.text_to_image.captions.open_captions import is_open
    from quartet.text_to_image.networks.text_encoder import TextEncoder

    shape = {
        "sample_size": info["size"],
        "in_channels": info["channels"],
        "out_channels": info["channels"],
        "block_out_channels": widths,
        "layers_per_block": 1,
        "norm_num_groups": 8,
    }

    class OfClasses(nn.Module):
        def __init__(self):
            super().__init__()
            blocks = ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D")
            classes = len(info["classes"])
            self.unet = UNet2DModel(
                **shape, down_block_types=blocks[0], up_block_types=blocks[1], num_class_embeds=classes
            )

        def forward(self, pictures, times, labels):
            return self.unet(pictures, times, labels).sample

    class OfCaptions(nn.Module):
        def __init__(self, ours: TrainDiffusion):
            super().__init__()
            reader = questions(folder, info, "test", device, ours.longest_caption).reader
            read = {"vocabulary_size": reader.vocabulary_size, "words": reader.longest, "width": ours.text_width}
            self.text_encoder = TextEncoder(**read, layers=ours.text_layers, heads=ours.text_heads)
            self.unet = UNet2DConditionModel(
                **shape,
                down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
                cross_attention_dim=ours.text_width,
            )

        def forward(self, pictures, times, captions):
            words, mask = self.text_encoder(captions)
            return self.unet(pictures, times, words, encoder_attention_mask=mask).sample

    return OfCaptions(TrainDiffusion()) if is_open(info) else OfClasses()


def train_denoising_diffusion(folder: Path, dimension: int, seconds: float, images: int) -> dict:
    """`denoising-diffusion-pytorch`, class-conditional: its defaults, Adam at 8e-5, averaged weights, batch 64."""
    import torch
    from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    from quartet.artifacts.writing import read_json
    from quartet.training.devices import pick_device

    torch.manual_seed(0)
    info = read_json(folder / "info.json")
    unet = Unet(dim=dimension, dim_mults=(1, 2, 4), num_classes=len(info["classes"]), channels=info["channels"])
    diffusion = GaussianDiffusion(unet, image_size=info["size"], timesteps=TIMES, sampling_timesteps=PEER_STEPS)
    diffusion.to(pick_device(Runtime()))
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=8e-5, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)

    def step(pictures, labels, number):
        loss = diffusion((pictures + 1) / 2, classes=labels)  # it takes [0, 1]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        average.update()

    def draw(labels):
        # Practically no guidance: at exactly 1 its sampler fails, and at any other scale it runs the network twice.
        return average.ema_model.sample(classes=labels, cond_scale=1.0001) * 2 - 1

    return train_peer(folder, unet, step, draw, average.ema_model.eval, seconds, images, 2 * PEER_STEPS)


def train_peer(
    folder: Path,
    network,
    step: Callable,
    draw: Callable,
    finish: Callable,
    seconds: float,
    images: int,
    evaluations: int,
    reads: bool = False,
) -> dict:
    """Train a peer on random batches until the time is up, then draw pictures of all classes or test captions in turn.

    `evaluations` is its number of network evaluations per picture. A peer that `reads` is asked for captions, any other
    one for classes.
    """
    import torch

    from quartet.artifacts.writing import read_json
    from quartet.datasets.images import load_images
    from quartet.text_to_image.captions.open_captions import is_open
    from quartet.text_to_image.samplers import to_uint8
    from quartet.training.steps import wait_for

    device = next(network.parameters()).device
    train, labels = (part.to(device) for part in load_images(folder, "train"))
    info, longest = read_json(folder / "info.json"), TrainDiffusion().longest_caption
    questioned = questions(folder, info, "test", device, longest)
    generator = torch.Generator(device).manual_seed(0)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        chosen = torch.randint(len(train), (BATCH,), device=device)
        asked = questioned.training.drawn(chosen, generator) if reads else labels[chosen]
        step(train[chosen].float() / 127.5 - 1, asked, done)
        done += 1
    wait_for(device)
    trained = time.perf_counter() - start
    finish()
    captions, wanted = questioned.drawn(images)
    start = time.perf_counter()
    with torch.no_grad():
        pictures = torch.cat([draw(part) for part in (captions if reads else wanted).split(DRAWN_AT_ONCE)])
    wait_for(device)
    drawn = time.perf_counter() - start
    parameters = sum(weight.numel() for weight in network.parameters())
    owners = questioned.turns(images) if is_open(info) else None
    return result(parameters, done * BATCH, trained, to_uint8(pictures), wanted, drawn, evaluations, owners)


def result(
    parameters: int, seen: int, trained: float, pictures, labels, drawn: float, evaluations: float, owners=None
) -> dict[str, object]:
    """The measurements and pictures of one model."""
    return {
        "parameters": parameters,
        "images_seen": seen,
        "training_seconds": round(trained, 1),
        "images_per_second": round(seen / trained, 1),
        "seconds_per_1000_drawn": round(drawn * 1000 / len(labels), 4),
        "network_evaluations": round(evaluations, 2),
        "pictures": pictures.cpu().numpy(),
        "labels": labels.cpu().numpy(),
        "owners": None if owners is None else owners.cpu().numpy(),
        "guidance": 1.0,
        "temperature": 1.0,
        "rejection": 0.0,
    }
