"""Span corruption (Raffel et al. 2020): windows of text with holes, and what is missing in them."""

import torch
from torch import Tensor

from quartet.language.settings import TrainLm


def with_holes(
    tokens: Tensor, settings: TrainLm, hole_tokens: range, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Windows `(batch, steps)` as `corrupted` or, in the share `continuation` of the batches, as `cut` makes them.

    All windows of a batch hide equally many tokens, so that nothing is padded. `hole_tokens` are the ids that stand for
    holes; one of them ends the last span.
    """
    steps = tokens.shape[1]
    share, place = torch.rand(2, generator=generator, device=generator.device).tolist()
    if share < settings.continuation:
        # Half of them from the first token on, as a text is scored; the others anywhere.
        return cut(tokens, 1 + int(max(0.0, 2 * place - 1) * (steps - 1)), hole_tokens.start)
    hidden = max(1, round(settings.corruption * steps))
    holes = min(max(1, round(hidden / settings.span)), len(hole_tokens) - 1, steps - hidden + 1)
    return corrupted(tokens, hidden, holes, hole_tokens.start, generator)


def corrupted(
    tokens: Tensor, hidden: int, holes: int, first_hole: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Hide `hidden` tokens of each window, in `holes` spans of random lengths at random places.

    Args:
        tokens: `(batch, steps)` ids.
        hidden: tokens that are hidden, at least `holes`.
        holes: spans; between two of them stands at least one token, so `holes` − 1 are left at least.
        first_hole: the token that stands for the first hole; those of the others follow.
        generator: of the randomness.

    Returns:
        What the encoder reads, `(batch, steps − hidden + holes)`, what the decoder reads and what it writes, both
        `(batch, hidden + holes)`: the spans, each behind its hole's token, and the token of one more hole at the end.
    """
    batch, steps = tokens.shape
    device, numbers = tokens.device, torch.arange(holes, device=tokens.device)
    spans = _parts(batch, hidden, holes, generator)  # (batch, holes), at least one each
    # Gaps: before, between (at least one) and behind the spans.
    gaps = _parts(batch, steps - hidden + 2, holes + 1, generator)
    gaps[:, 0] -= 1
    gaps[:, -1] -= 1
    starts = gaps[:, :-1].cumsum(1) + spans.cumsum(1) - spans  # (batch, holes)

    places = torch.arange(steps, device=device)
    begun = (places[None, :, None] >= starts[:, None]).sum(2)  # (batch, steps): spans begun so far
    ends = (starts + spans).gather(1, (begun - 1).clamp(min=0))
    inside = (begun > 0) & (places < ends)
    kept_place = places - inside.cumsum(1) + begun  # kept tokens close up behind the holes before them
    read = torch.empty(batch, steps - hidden + holes, dtype=tokens.dtype, device=device)
    hole_tokens = (first_hole + numbers).expand(batch, -1).to(tokens.dtype)
    hole_place = starts - (spans.cumsum(1) - spans) + numbers
    read.scatter_(1, hole_place, hole_tokens)
    rows = torch.arange(batch, device=device)[:, None].expand(-1, steps)
    read[rows[~inside], kept_place[~inside]] = tokens[~inside]

    written = torch.empty(batch, hidden + holes + 1, dtype=tokens.dtype, device=device)
    written.scatter_(1, spans.cumsum(1) - spans + numbers, hole_tokens)
    written[rows[inside], (inside.cumsum(1) - 1 + begun)[inside]] = tokens[inside]
    written[:, -1] = first_hole + holes
    return read, written[:, :-1], written[:, 1:]


def cut(tokens: Tensor, kept: int, first_hole: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hide all but the first `kept` tokens: one hole at the end, to be continued; returns as `corrupted` does."""
    opened = torch.full_like(tokens[:, :1], first_hole)
    closed = torch.full_like(tokens[:, :1], first_hole + 1)
    missing = tokens[:, kept:]
    return (
        torch.cat([tokens[:, :kept], opened], dim=1),
        torch.cat([opened, missing], dim=1),
        torch.cat([missing, closed], dim=1),
    )


def _parts(batch: int, total: int, parts: int, generator: torch.Generator) -> Tensor:
    """Random ways to write `total` as a sum of `parts` positive numbers, `(batch, parts)`."""
    # Cuts at different places among the total − 1 between the units.
    scores = torch.rand(batch, total - 1, generator=generator, device=generator.device)
    cuts = scores.topk(parts - 1, dim=1).indices.sort(dim=1).values + 1  # (batch, parts − 1)
    borders = torch.cat([cuts.new_zeros(batch, 1), cuts, cuts.new_full((batch, 1), total)], dim=1)
    return borders.diff(dim=1)
