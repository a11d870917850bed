"""Contrastive losses of the lip-sync judge.

Similarities are cosines of unit embeddings. Within one stretch of speech, mouth window i (0..L-1) is compared with
speech windows j (0..A-1), of which i + M is in sync with it, M = (A - L) / 2. Negatives have the same voice, face and
sentence, so they differ from the positive only in timing.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional


def shifts(mouths: int, speeches: int, device: torch.device) -> Tensor:
    """`(L, A)`: frames by which speech window j follows mouth window i."""
    margin = (speeches - mouths) // 2
    row = torch.arange(mouths, device=device)[:, None]
    return torch.arange(speeches, device=device)[None] - margin - row


def stretch_loss(similarity: Tensor, valid: Tensor, scale: Tensor, spared: int) -> Tensor:
    """InfoNCE of each mouth window against the speech windows of its stretch, and vice versa.

    `similarity`: `(B, L, A)`; `valid`: `(B, A)` bool, existing speech windows; `spared`: shifts of 1 to this many
    frames are neither positives nor negatives, because footage is not in sync to the exact frame.
    """
    _, mouths, speeches = similarity.shape
    shift = shifts(mouths, speeches, similarity.device)
    margin = (speeches - mouths) // 2
    unsure = (shift != 0) & (shift.abs() <= spared)
    hidden = unsure[None] | ~valid[:, None]
    logits = (similarity * scale).masked_fill(hidden, -torch.inf)
    truth = torch.arange(mouths, device=similarity.device)
    there = rearrange(valid[:, margin : margin + mouths], "b l -> (b l)")
    rows = rearrange(logits, "b l a -> (b l) a")[there]
    columns = rearrange(logits[:, :, margin : margin + mouths], "b l a -> (b a) l")[there]
    truths = repeat(truth, "l -> (b l)", b=len(similarity))[there]
    return (functional.cross_entropy(rows, truths + margin) + functional.cross_entropy(columns, truths)) / 2


def curve(similarity: Tensor, valid: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Mean similarity `(B, 2 reach + 1)` over all pairs that are -reach..reach frames apart, and their number."""
    _, mouths, speeches = similarity.shape
    shift = shifts(mouths, speeches, similarity.device)
    wanted = torch.arange(-reach, reach + 1, device=similarity.device)
    pairs = (shift[None] == wanted[:, None, None]).to(similarity.dtype)
    there = valid[:, None].to(similarity.dtype)
    count = torch.einsum("kla,bla->bk", pairs, there.expand_as(similarity))
    return torch.einsum("kla,bla->bk", pairs, similarity * there) / count.clamp(min=1), count


def shift_loss(similarity: Tensor, valid: Tensor, scale: Tensor, reach: int, spared: int) -> Tensor:
    """Cross-entropy of the true shift among -reach..reach, from the mean over the whole stretch.

    It matches the use of the judge, which finds the best shift of a second of speech.
    """
    mean, count = curve(similarity, valid, reach)
    shift = torch.arange(-reach, reach + 1, device=similarity.device)
    unsure = (shift != 0) & (shift.abs() <= spared)
    hidden = unsure[None] | (count < similarity.shape[1] / 2)
    logits = (mean * scale).masked_fill(hidden, -torch.inf)
    known = ~hidden[:, reach]
    return functional.cross_entropy(logits[known], torch.full_like(count[known][:, 0], reach, dtype=torch.long))


def batch_loss(mouth: Tensor, speech: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE over a batch of pairs `(B, E)`, `(B, E)` from different stretches, in both directions."""
    logits = mouth @ speech.T * scale
    truth = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, truth) + functional.cross_entropy(logits.T, truth)) / 2
