"""Write translations: greedily, or with beam search; in batches, with the key-value cache."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from quartet.artifacts.errors import BadRequest
from quartet.artifacts.time_limits import check_time
from quartet.language.networks.encoder_decoder import EncoderDecoder, Past
from quartet.language.translation.pairs import sources_batch
from quartet.training.parallel.spreading import spread

BATCH_ROWS = 256  # hypotheses that are extended at once
READ_TOKENS = 2**17  # the most tokens of sources that are read at once, for each hypothesis anew


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A translation: its token ids without those of its ends, and its log-probability divided by its length."""

    tokens: list[int]
    score: float


@dataclasses.dataclass(frozen=True)
class Search:
    """How translations are searched for.

    Attributes:
        beam: hypotheses that are kept at each step; 1 takes the most probable token at each (greedy).
        length_penalty: a hypothesis' log-probability is divided by its number of tokens to this power.
        best: how many translations of each source to return, at most `beam`.
        cached: keep the keys and values of what is written already; without, they are computed anew for each token,
            which gives the same translations.
    """

    beam: int = 5
    length_penalty: float = 1.0
    best: int = 1
    cached: bool = True


@torch.inference_mode()
def translate(
    network: EncoderDecoder, sources: Sequence[Tensor], search: Search, rows: int = BATCH_ROWS
) -> list[list[Hypothesis]]:
    """The best translations of each source, the best one first.

    Args:
        network: trained to translate, in evaluation mode.
        sources: `(tokens,)` ids; only as many as `network.context` are read.
        search: how to search.
        rows: hypotheses that are extended at once; fewer where sources are very long.

    Raises:
        BadRequest: `search` is out of range.
        TimeLimitReached: there is a time limit, and it is over.
    """
    if search.beam < 1:
        raise BadRequest(f"beam: found {search.beam}, allowed is 1 or more")
    if not 1 <= search.best <= search.beam:
        raise BadRequest(f"best: found {search.best}, allowed is 1 to the beam, which is {search.beam}")
    if not 0 <= search.length_penalty <= 5:
        raise BadRequest(f"length_penalty: found {search.length_penalty}, allowed is 0 to 5")
    # Sources of like lengths are read together, the longest first, which shows early whether the memory suffices.
    order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))
    longest = min(max(map(len, sources), default=0), network.context) + 1
    at_once = max(1, min(rows, READ_TOKENS // longest) // search.beam)

    def written(start: int) -> tuple[Tensor, ...]:
        batch = [sources[number][: network.context] for number in order[start : start + at_once]]
        each = greedy(network, batch, search) if search.beam == 1 else beam_search(network, batch, search)
        return _as_tensors(each)

    parts = spread(written, range(0, len(order), at_once), torch.device("cpu"))
    hypotheses = [of_source for part in parts for of_source in _from_tensors(*part)]
    return [of_source for _, of_source in sorted(zip(order, hypotheses, strict=True), key=lambda pair: pair[0])]


def _as_tensors(found: list[list[Hypothesis]]) -> tuple[Tensor, ...]:
    """The tokens of all hypotheses, how many each has, its score, and how many each source has."""
    each = [hypothesis for of_source in found for hypothesis in of_source]
    tokens = [token for hypothesis in each for token in hypothesis.tokens]
    lengths = [len(hypothesis.tokens) for hypothesis in each]
    scores = torch.tensor([hypothesis.score for hypothesis in each], dtype=torch.float64)
    return torch.tensor(tokens, dtype=torch.int64), torch.tensor(lengths), scores, torch.tensor([*map(len, found)])


def _from_tensors(tokens: Tensor, lengths: Tensor, scores: Tensor, counts: Tensor) -> list[list[Hypothesis]]:
    """The inverse of `_as_tensors`."""
    parts = tokens.split(lengths.tolist())
    each = iter([Hypothesis(part.tolist(), score) for part, score in zip(parts, scores.tolist(), strict=True)])
    return [[next(each) for _ in range(count)] for count in counts.tolist()]


def longest_translation(network: EncoderDecoder, source: Tensor) -> int:
    """The most tokens of a translation of a source, which a network that has learnt little would not end."""
    return min(network.context, 4 * len(source) + 64)


@torch.inference_mode()
def greedy(network: EncoderDecoder, sources: Sequence[Tensor], search: Search) -> list[list[Hypothesis]]:
    """Write the most probable token at each step; one translation per source."""
    writing = _Writing(network, sources, search.cached)
    finished: list[Hypothesis | None] = [None] * len(sources)
    rows = list(range(len(sources)))  # the source of each row that is still written
    tokens: list[list[int]] = [[] for _ in sources]
    totals = [0.0] * len(sources)
    while rows:
        check_time()
        best = writing.log_probabilities().max(dim=1)
        for row, token, cost in zip(rows, best.indices.tolist(), best.values.tolist(), strict=True):
            totals[row] += cost
            if token == writing.end:
                finished[row] = Hypothesis(tokens[row], _score(totals[row], len(tokens[row]) + 1, search))
            else:
                tokens[row].append(token)
                if len(tokens[row]) == longest_translation(network, sources[row]):
                    finished[row] = Hypothesis(tokens[row], _score(totals[row], len(tokens[row]), search))
        going_on = [place for place, row in enumerate(rows) if finished[row] is None]
        if going_on:
            kept = torch.tensor(going_on, device=writing.device)
            writing.extend(best.indices, kept, same_sources=len(going_on) == len(rows))
        rows = [rows[place] for place in going_on]
    return [[hypothesis] for hypothesis in finished if hypothesis is not None]


@torch.inference_mode()
def beam_search(network: EncoderDecoder, sources: Sequence[Tensor], search: Search) -> list[list[Hypothesis]]:
    """Keep the `beam` most probable hypotheses at each step, until as many are finished (Sutskever et al. 2014).

    A hypothesis is finished when its end is among the `beam` most probable continuations.
    """
    beam, batch = search.beam, len(sources)
    writing = _Writing(network, sources, search.cached)
    finished: list[list[Hypothesis]] = [[] for _ in sources]
    limits = [longest_translation(network, source) for source in sources]
    rows = list(range(batch))  # the source of each group of `beam` rows that is still written
    writing.repeat(beam)
    tokens = torch.empty(batch, beam, 0, dtype=torch.long, device=writing.device)
    totals = torch.full((batch, beam), -torch.inf, device=writing.device)
    totals[:, 0] = 0.0  # at first all hypotheses of a source are the same
    while True:
        check_time()
        costs = writing.log_probabilities().unflatten(0, (len(rows), beam))  # (sources, beam, vocabulary)
        vocabulary = costs.shape[2]
        # Of twice as many continuations as the beam has places, at most `beam` are ends.
        likely = (totals[:, :, None] + costs).flatten(1).topk(min(2 * beam, beam * vocabulary), dim=1)
        parents, following = likely.indices // vocabulary, likely.indices % vocabulary
        ended = following == writing.end
        length = tokens.shape[2] + 1
        for group, place in ended[:, :beam].nonzero().tolist():
            total = float(likely.values[group, place])
            if len(finished[rows[group]]) < beam and total > -torch.inf:
                written = tokens[group, parents[group, place]].tolist()
                finished[rows[group]].append(Hypothesis(written, _score(total, length, search)))
        # The best continuations that do not end, in their order.
        places = ended.long().sort(dim=1, stable=True).indices[:, :beam]
        totals, parents, following = (part.gather(1, places) for part in (likely.values, parents, following))
        tokens = torch.cat(
            [tokens.gather(1, parents[:, :, None].expand(-1, -1, length - 1)), following[:, :, None]], dim=2
        )
        for group, row in enumerate(rows):
            if length == limits[row]:  # what is not finished by now is cut
                for place in range(beam - len(finished[row])):
                    cut = _score(float(totals[group, place]), length, search)
                    finished[row].append(Hypothesis(tokens[group, place].tolist(), cut))
        going_on = [group for group, row in enumerate(rows) if len(finished[row]) < beam]
        if not going_on:
            break
        groups = torch.tensor(going_on, device=writing.device)
        chosen = (groups[:, None] * beam + parents[groups]).flatten()
        all_go_on = len(going_on) == len(rows)
        rows = [rows[group] for group in going_on]
        totals, tokens = totals[groups], tokens[groups]
        writing.extend(following[groups].flatten(), chosen, same_sources=all_go_on, chosen_first=True)
    return [sorted(each, key=lambda found: -found.score)[: search.best] for each in finished]


def _score(total: float, length: int, search: Search) -> float:
    return total / length**search.length_penalty


class _Writing:
    """What the decoder has written for each row of a batch so far.

    Args:
        network: that writes.
        sources: of the rows.
        cached: as in `Search`.
    """

    def __init__(self, network: EncoderDecoder, sources: Sequence[Tensor], cached: bool):
        self.network, self.cached = network, cached
        self.device = network.embedding.weight.device
        start = network.sentinel_tokens.start
        self.end = start + 1
        read, mask = (part.to(self.device) for part in sources_batch(sources, start))
        self.past: Past = network.encode(read, mask)
        self.tokens = torch.full((len(sources), 1), start, device=self.device)  # (rows, written so far)

    def log_probabilities(self) -> Tensor:
        """Of the next token of each row: `(rows, vocabulary + 2)`; only tokens of text and the end may follow."""
        if self.cached:
            logits, self.past = self.network.decode(self.tokens[:, -1:], self.past)
        else:
            logits, _ = self.network.decode(self.tokens, self.past)
        following = logits[:, -1, : self.end + 1].float()
        following[:, self.end - 1] = -torch.inf  # the start
        return following.log_softmax(dim=1)

    def repeat(self, times: int) -> None:
        """Write each row several times."""
        chosen = torch.arange(len(self.tokens), device=self.device).repeat_interleave(times)
        self.past, self.tokens = self.past.rows(chosen), self.tokens[chosen]

    def extend(self, following: Tensor, chosen: Tensor, *, same_sources: bool, chosen_first: bool = False) -> None:
        """Go on with the chosen rows, each with the token that follows.

        Args:
            following: a token for each row or, with `chosen_first`, for each chosen row.
            chosen: numbers of rows.
            same_sources: each chosen row has the source of the row whose place it takes.
        """
        unmoved = same_sources and not chosen_first
        if not unmoved:
            self.past = self.past.caches_of(chosen) if same_sources else self.past.rows(chosen)
        if not chosen_first:
            following = following[chosen]
        self.tokens = torch.cat([self.tokens[chosen], following[:, None]], dim=1)
