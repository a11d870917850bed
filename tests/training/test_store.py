"""Concatenated clips: their spans, how often they are drawn, and how they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lipsmith.training.store import end_to_end, even_ranks, few_ranks, make_spans, pick, read_ahead, root_weights


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_the_weight_of_an_identity_is_the_root_of_its_rows() -> None:
    shares = root_weights(np.array([54, 36, 10]), ["a", "a", "b"])
    # Roots of 90 and 10 have the ratio 3 to 1; within a, the ratio is 54 to 36.
    assert shares.tolist() == pytest.approx([0.75 * 0.6, 0.75 * 0.4, 0.25])


def test_clips_are_drawn_by_their_weights() -> None:
    spans = make_spans([81, 1], ["a", "b"], "cpu")
    drawn = spans.draw(4000, generator())
    assert float((drawn == 1).float().mean()) == pytest.approx(0.1, abs=0.02)


def test_spans_are_consecutive() -> None:
    spans = make_spans([3, 2], ["a", "b"], "cpu")
    assert spans.first.tolist() == [0, 3]
    assert spans.clip_of(torch.arange(5)).tolist() == [0, 0, 0, 1, 1]
    assert spans.clamp(torch.tensor([-1, 3, 2, 9]), torch.tensor([0, 0, 1, 1])).tolist() == [0, 2, 3, 4]


def test_few_ranks_are_at_most_half_and_lie_within_all() -> None:
    first, count = few_ranks(2000, 10, generator())
    assert count.min() == 1
    assert count.max() <= 5
    assert first.min() == 0
    assert (first + count).max() == 10
    at_an_end = (first == 0) | (first + count == 10)
    assert float(at_an_end.float().mean()) == pytest.approx(0.55, abs=0.06)


def test_even_ranks_begin_and_end_where_their_ranges_do() -> None:
    ranks = even_ranks(torch.tensor([[0], [4], [7]]), torch.tensor([[11], [3], [1]]), 3)
    assert ranks.tolist() == [[0, 5, 10], [4, 5, 6], [7, 7, 7]]


def test_every_row_of_a_range_is_drawn_and_no_other() -> None:
    rows = pick(torch.tensor([5, 20]), torch.tensor([3, 1]), 200, generator())
    assert set(rows[0].tolist()) == {5, 6, 7}
    assert set(rows[1].tolist()) == {20}


def test_pieces_are_concatenated_with_their_types() -> None:
    pieces: list[dict[str, NDArray[Any]]] = [
        {"a": np.full((n, 2), n, np.uint8), "b": np.arange(n, dtype=np.float32)} for n in (1, 2)
    ]
    found = end_to_end(pieces, 3, "cpu")
    assert found["a"].tolist() == [[1, 1], [2, 2], [2, 2]]
    assert found["b"].tolist() == [0, 0, 1]
    assert (found["a"].dtype, found["b"].dtype) == (torch.uint8, torch.float32)


def test_any_number_of_items_is_read_in_order() -> None:
    assert list(read_ahead(lambda item: item * item, range(300))) == [n * n for n in range(300)]


def test_an_unreadable_item_is_reported() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda item: 1 // item, [1, 0]))
