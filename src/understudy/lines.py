"""Runs of tokens that stand one after the other in a line, laid side by side for attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from transformers import PreTrainedConfig

ALIKE = 0.75  # shortest length in a group, as a share of its longest


@dataclass(frozen=True)
class Groups:
    """Runs of similar length, laid side by side, so that one call attends to all of a group.

    Attributes:
        places: which token of the line stands at each place of the groups, one group after the
            other; what fills a run up repeats its last token. None: the line itself.
        shapes: runs and length of each group.
        back: where in the groups each token of the line stands; None: at its own place.
    """

    places: Tensor | None
    shapes: list[tuple[int, int]]
    back: Tensor | None


def grouped(starts: Sequence[int], device: torch.device) -> Groups:
    """The runs of a line in groups of similar length.

    Args:
        starts: where each run begins, and the line's length at the end.
        device: of the line.
    """
    spans = sorted(((stop - start, start) for start, stop in pairwise(starts)), reverse=True)
    if spans[0][0] == spans[-1][0]:
        return Groups(None, [(len(spans), spans[0][0])], None)
    shapes, all_places, done = [], [], 0
    back = torch.empty(starts[-1], dtype=torch.long)
    while spans:
        longest = spans[0][0]
        alike = [span for span in spans if span[0] >= ALIKE * longest]
        spans = spans[len(alike) :]
        lengths, firsts = torch.tensor(alike).split(1, dim=1)
        steps = torch.arange(longest)
        places = firsts + torch.minimum(steps, lengths - 1)
        real = steps < lengths
        back[places[real]] = (done + torch.arange(places.numel()).view_as(places))[real]
        shapes.append((len(alike), longest))
        all_places.append(places.flatten())
        done += places.numel()
    return Groups(torch.cat(all_places).to(device), shapes, back.to(device))


def has_window(config: PreTrainedConfig, layer: int) -> bool:
    """Whether a configuration lets a layer see the last tokens alone."""
    if kinds := getattr(config, "layer_types", None):
        return kinds[layer] in ("sliding_attention", "chunked_attention")
    return bool(getattr(config, "sliding_window", None))
