"""Span corruption (Raffel et al. 2020): windows of text with holes, and the missing tokens."""

import torch
from torch import Tensor

from quartet.language.settings import TrainLm


def corrupt_spans(
    tokens: Tensor, settings: TrainLm, sentinel_tokens: range, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Apply `corrupted` or, to a share `continuation` of the batches, `cut` to windows `(batch, steps)`.

    All windows of a batch hide the same number of tokens, so nothing is padded. `sentinel_tokens` are the ids of the
    sentinel tokens; one of them ends the last span.
    """
    steps = tokens.shape[1]
    share, place = torch.rand(2, generator=generator, device=generator.device).tolist()
    if share < settings.continuation:
        # Half of the cuts are after the first token, as when a text is scored, and half at any place.
        return cut(tokens, 1 + int(max(0.0, 2 * place - 1) * (steps - 1)), sentinel_tokens.start)
    hidden = max(1, round(settings.corruption * steps))
    holes = min(max(1, round(hidden / settings.span)), len(sentinel_tokens) - 1, steps - hidden + 1)
    return corrupted(tokens, hidden, holes, sentinel_tokens.start, generator)


def corrupted(
    tokens: Tensor, hidden: int, holes: int, first_sentinel: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Hide `hidden` tokens of each window, in `holes` spans of random lengths at random places.

    Args:
        tokens: `(batch, steps)` ids.
        hidden: number of hidden tokens, at least `holes`.
        holes: number of spans; at least one token stays between two spans, so at least `holes` − 1 tokens stay.
        first_sentinel: the id of the first sentinel token; the others follow it.
        generator: source of randomness.

    Returns:
        The encoder's input, `(batch, steps − hidden + holes)`, and the decoder's input and targets, both `(batch,
        hidden + holes)`: each span after its sentinel token, and one more sentinel token at the end.
    """
    batch, steps = tokens.shape
    device, numbers = tokens.device, torch.arange(holes, device=tokens.device)
    spans = _parts(batch, hidden, holes, generator)  # (batch, holes), at least one each
    # Gaps before, between (at least one token) and after the spans.
    gaps = _parts(batch, steps - hidden + 2, holes + 1, generator)
    gaps[:, 0] -= 1
    gaps[:, -1] -= 1
    starts = gaps[:, :-1].cumsum(1) + spans.cumsum(1) - spans  # (batch, holes)

    places = torch.arange(steps, device=device)
    begun = (places[None, :, None] >= starts[:, None]).sum(2)  # (batch, steps): spans started so far
    ends = (starts + spans).gather(1, (begun - 1).clamp(min=0))
    inside = (begun > 0) & (places < ends)
    kept_place = places - inside.cumsum(1) + begun  # kept tokens move left: each span shrinks to one sentinel token
    read = torch.empty(batch, steps - hidden + holes, dtype=tokens.dtype, device=device)
    sentinel_tokens = (first_sentinel + numbers).expand(batch, -1).to(tokens.dtype)
    sentinel_place = starts - (spans.cumsum(1) - spans) + numbers
    read.scatter_(1, sentinel_place, sentinel_tokens)
    rows = torch.arange(batch, device=device)[:, None].expand(-1, steps)
    read[rows[~inside], kept_place[~inside]] = tokens[~inside]

    written = torch.empty(batch, hidden + holes + 1, dtype=tokens.dtype, device=device)
    written.scatter_(1, spans.cumsum(1) - spans + numbers, sentinel_tokens)
    written[rows[inside], (inside.cumsum(1) - 1 + begun)[inside]] = tokens[inside]
    written[:, -1] = first_sentinel + holes
    return read, written[:, :-1], written[:, 1:]


def cut(tokens: Tensor, kept: int, first_sentinel: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hide all but the first `kept` tokens: one hole, at the end; returns the same as `corrupted`."""
    opened = torch.full_like(tokens[:, :1], first_sentinel)
    closed = torch.full_like(tokens[:, :1], first_sentinel + 1)
    missing = tokens[:, kept:]
    return (
        torch.cat([tokens[:, :kept], opened], dim=1),
        torch.cat([opened, missing], dim=1),
        torch.cat([missing, closed], dim=1),
    )


def _parts(batch: int, total: int, parts: int, generator: torch.Generator) -> Tensor:
    """Write `total` as a random sum of `parts` positive integers, `(batch, parts)`."""
    # Choose different cuts among the total − 1 places between units.
    scores = torch.rand(batch, total - 1, generator=generator, device=generator.device)
    cuts = scores.topk(parts - 1, dim=1).indices.sort(dim=1).values + 1  # (batch, parts − 1)
    borders = torch.cat([cuts.new_zeros(batch, 1), cuts, cuts.new_full((batch, 1), total)], dim=1)
    return borders.diff(dim=1)
