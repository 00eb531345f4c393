"""What the network predicts for a caption, with guidance: towards it, away from another, or between two.

Captions are encoded once; a drawing asks for predictions at every step.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from quartet.text_to_image.networks.text_encoder import without_caption
from quartet.text_to_image.networks.text_to_image import TextToImage

Prediction = Callable[[Tensor, Tensor], Tensor]  # (pictures, times) -> what the network predicts
Encoded = tuple[Tensor, ...]  # captions as the network's `denoise` reads them


def encode(network: TextToImage, captions: Tensor) -> Encoded:
    """Encode `(batch, words)` captions; on a GPU, matrix products are in bfloat16."""
    with torch.autocast(captions.device.type, torch.bfloat16, enabled=captions.device.type == "cuda"):
        return network.encode(captions)


def predictor(network: TextToImage, encoded: Encoded) -> Prediction:
    """The network as a function of pictures and times, for captions that are already encoded.

    On a GPU, matrix products and convolutions are in bfloat16, without a visible difference.
    """

    def predict(pictures: Tensor, times: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=pictures.device.type == "cuda"):
            return network.denoise(pictures, times, *encoded).to(pictures.dtype)

    return predict


def denoiser(network: TextToImage, captions: Tensor) -> Prediction:
    """The network as a function of pictures and times; the `(batch, words)` captions are encoded only once."""
    return predictor(network, encode(network, captions))


@torch.no_grad()
def guided(
    network: TextToImage,
    captions: Tensor,
    guidance: float,
    *,
    negative: Tensor | None = None,
    towards: Tensor | None = None,
    share: float = 0.0,
) -> Prediction:
    """Classifier-free guidance (Ho & Salimans 2022): move away from the prediction without a caption.

        v = v(∅) + g (v(caption) − v(∅))

    `guidance` 1 needs one network evaluation per step; other values need two, in one batch.

    Args:
        network: a text-to-image network.
        captions: `(batch, words)`.
        guidance: g.
        negative: captions `(batch, words)` in the place of ∅: what the pictures should not be like.
        towards: captions `(batch, words)` to go towards by `share` (`between`).
        share: in [0, 1]; of `towards`, if there is any.
    """
    prompts = [captions] if towards is None else [captions, towards]
    if guidance != 1:
        prompts.append(without_caption(captions) if negative is None else negative)
    encoded = encode(network, torch.cat(prompts))
    if towards is not None:
        first, second, *others = zip(*(part.chunk(len(prompts)) for part in encoded), strict=True)
        wanted = [between(first, second, share), *(with_weights(*other) for other in others)]
        encoded = tuple(torch.cat(parts) for parts in zip(*wanted, strict=True))
    predict_all = predictor(network, encoded)
    if guidance == 1:
        return predict_all

    def predict(pictures: Tensor, times: Tensor) -> Tensor:
        with_caption, without = predict_all(pictures.repeat(2, 1, 1, 1), times.repeat(2)).chunk(2)
        return without + guidance * (with_caption - without)

    return predict


def between(first: Encoded, second: Encoded, share: float) -> Encoded:
    """Interpolate linearly between two encoded captions c and d, place by place.

        w = (1 − share) m_c + share m_d,    x = ((1 − share) m_c c + share m_d d) / w

    with masks m, 1 at real words: a place that only one caption has fades with its share, since attention to it is
    weighted by w. Linear, not spherical: keys, values and modulation are linear in the vectors, and noise, whose length
    matters, is not interpolated.

    Args:
        first, second: vectors `(batch, words, width)` and masks `(batch, words)`, True at real words.
        share: 0 is the first caption, 1 the second.

    Returns:
        The vectors x, and log w, which is added to the scores of the attention: `(batch, words)`, -inf at no word.
    """
    (one, one_mask), (other, other_mask) = first, second
    of_one, of_other = (1 - share) * one_mask.to(one.dtype), share * other_mask.to(other.dtype)
    weights = of_one + of_other
    mixed = of_one[..., None] * one + of_other[..., None] * other
    return mixed / weights.where(weights > 0, 1)[..., None], weights.log()


def with_weights(words: Tensor, mask: Tensor) -> Encoded:
    """An encoded caption with its mask as `between` returns it: 0 at real words, -inf elsewhere."""
    return words, mask.to(words.dtype).log()
