"""Captions that are laid over pictures."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from lipsmith.training.occlusion.captions import Captions  # noqa: E402
from lipsmith.training.occlusion.objects import Random  # noqa: E402

CPU = torch.device("cpu")
COUNT = 80


@pytest.fixture(scope="module")
def captions() -> Captions:
    return Captions(COUNT, CPU)


def over_gray(captions: Captions, filmed: float = 0.5, drawn: float = 0.5) -> list[tuple[Tensor, Tensor]]:
    """Return pictures of one gray with captions, and what these cover."""
    pictures = [torch.full((COUNT, 3, 32, 64), gray) for gray in (filmed, drawn)]
    return list(captions.over(pictures[0], pictures[1], Random(torch.Generator().manual_seed(0))))


def test_a_picture_changes_only_where_its_caption_covers_it(captions: Captions) -> None:
    for gray, (written, covers) in zip((0.5, 0.3), over_gray(captions, 0.5, 0.3), strict=True):
        changed = (written - gray).abs().amax(1, keepdim=True) > 0.02
        near = torch.nn.functional.max_pool2d(covers, 3, 1, 1) > 0
        assert not (changed & ~near).any()
        assert written.min() >= 0
        assert written.max() <= 1 + 1e-5
        assert changed.any((1, 2, 3)).float().mean() > 0.85


def test_the_edge_of_letters_counts_as_covered(captions: Captions) -> None:
    opacity, covers = captions.layers[:, 0, 3], captions.layers[:, 0, 4]
    assert (covers >= opacity - 0.1).float().mean() > 0.98
    assert covers.sum() > 1.2 * opacity.sum()


def test_half_of_the_drawn_pictures_have_other_words_of_the_same_style(captions: Captions) -> None:
    (filmed, _), (drawn, _) = over_gray(captions)
    other = (filmed - drawn).abs().amax((1, 2, 3)) > 0.02
    assert 0.3 < other.float().mean() < 0.7
    # The mean color of what is written, for captions of which enough is seen.
    colors = [(picture - 0.5).sum((2, 3))[other] for picture in (filmed, drawn)]
    seen = torch.stack(colors).norm(dim=2).amin(0) > 20
    assert torch.cosine_similarity(*(color[seen] for color in colors)).mean() > 0.9


def test_every_run_draws_the_same_captions() -> None:
    assert torch.equal(Captions(3, CPU).layers, Captions(3, CPU).layers)
