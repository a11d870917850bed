"""What the loss compares, of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsmith.face.landmarks import JAW, ranks
from lipsmith.models.lip_detector import LipDetector
from lipsmith.models.renderer.network import Rendered, Renderer
from lipsmith.training.losses.lips import LIPS
from lipsmith.training.renderer.batch import RenderBatch, compare, render_batch
from lipsmith.training.renderer.sampler import Batch, Pictures
from renderer_clips import SIZE, SMALL, enlivened


class Fixed(LipDetector):
    """Finds lips that depend on the picture alone."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.looked: list[Tensor] = []

    def detect(self, crops: Tensor, around: Tensor) -> Tensor:
        self.looked.append(around)
        return crops.mean((1, 2, 3))[:, None, None].expand(len(crops), 40, 2)


RENDERED = Rendered(torch.full((2, 3, 32, 32), 0.75), torch.full((2, 3, 20, 32), 0.75))


def open_lips() -> Tensor:
    """Points of two targets, whose lips are not shut, above a jaw as wide as the crop; the others are random."""
    points = torch.rand(1, 2, 131, 2, generator=torch.Generator().manual_seed(0))
    points[..., LIPS, :] = torch.tensor([0.45, 0.6]) + 0.1 * points[..., LIPS, :]
    points[..., ranks((14,)), 1] = points[..., ranks((13,)), 1] + 0.1
    turn = torch.linspace(0, torch.pi, len(JAW))
    points[..., ranks(JAW), :] = torch.stack([0.5 - 0.5 * turn.cos(), 0.5 + 0.45 * turn.sin()], -1)
    return points


def second_lowered(shown: Tensor) -> Batch:
    """Two targets that show the same; of the second, lips are asked 0.03 lower than it shows them."""
    asked = shown.clone()
    asked[0, 1, LIPS] += torch.tensor([0.0, 0.03])
    bright = torch.full((1, 2, 3, 32, 32), 0.25)
    targets = Pictures(bright, torch.zeros(1, 2, 5, 32, 32), asked, shown, torch.zeros(1, 2, 2, 2))
    return Batch(targets, targets, targets, torch.zeros(1, 2, 1, 80, 16), torch.zeros(1, 2, 2, dtype=torch.long))


def test_lips_are_to_move_by_what_is_asked_beyond_what_the_truth_shows() -> None:
    shown, detector = open_lips(), Fixed()
    found = compare(RENDERED, second_lowered(shown), 12, None, detector).lips
    assert found is not None
    middles = shown[0, :, LIPS].mean(1)
    in_truth, in_picture = detector.looked
    assert torch.allclose(in_truth, middles, atol=1e-6)
    assert torch.allclose(in_picture, middles + torch.tensor([[0, 0], [0, 0.03]]), atol=1e-6)
    in_image, wanted = found
    assert torch.allclose(in_image, torch.full((2, 40, 2), 0.75))
    assert torch.allclose(wanted[0], torch.full((40, 2), 0.25), atol=1e-6)
    assert torch.allclose(wanted[1], torch.tensor([0.25, 0.28]).expand(40, 2), atol=1e-6)


def test_a_detector_alone_judges_the_face_of_a_target_whose_content_was_moved() -> None:
    batch = second_lowered(open_lips())
    judged, plain = (compare(RENDERED, batch, 12, None, detector) for detector in (Fixed(), None))
    assert torch.equal(judged.face[0], plain.face[0])
    assert torch.equal(judged.weight[0], plain.weight[0])
    assert not judged.face[1].any()
    assert torch.allclose(judged.weight[1], plain.weight[1] * (1 - plain.face[1]), atol=1e-6)
    assert plain.face[1, :, 6:].mean() > 0.4


def test_rows_that_are_not_generated_have_no_weight() -> None:
    compared = compare(RENDERED, second_lowered(open_lips()), 12, None)
    assert not compared.weight[:, :, :4].any()
    assert compared.weight[:, :, 4:].all()
    assert (compared.aligned[:, :, :4] == 0.25).all()  # there the references are the target's own rows
    assert (compared.aligned[:, :, 4:] == 0.75).all()


def random_pictures(random: torch.Generator, count: int, sketches: int) -> Pictures:
    """Return random pictures `(2, count)`."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(2, count, *shape, generator=random)

    points = 0.2 + 0.6 * rand(131, 2)
    still = torch.tensor([[0.1, 0.2], [0.9, 0.3]]) + 0.05 * rand(2, 2)
    return Pictures(rand(3, SIZE, SIZE), rand(sketches, SIZE, SIZE), points, points, still)


def only(pictures: Pictures, clip: int, frames: slice = slice(None)) -> Pictures:
    return Pictures(*(each[clip : clip + 1, frames] for each in vars(pictures).values()))


def test_each_target_is_rendered_as_alone() -> None:
    torch.manual_seed(0)
    network, random = RenderBatch(enlivened(Renderer(SMALL.model).eval())), torch.Generator().manual_seed(1)
    pool, lips, targets = (random_pictures(random, *sizes) for sizes in ((3, 1), (2, 1), (2, 5)))
    mel, chosen = torch.rand(2, 2, 1, 80, 16, generator=random), torch.tensor([[[0, 1], [2, 0]], [[1, 2], [0, 2]]])
    with torch.no_grad():
        whole = render_batch(network, Batch(pool, lips, targets, mel, chosen))
        for number, (clip, place) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            one, here = slice(place, place + 1), slice(clip, clip + 1)
            given = (only(pool, clip), only(lips, clip), only(targets, clip, one))
            alone = render_batch(network, Batch(*given, mel[here, one], chosen[here, one]))
            assert torch.allclose(whole.image[number], alone.image[0], atol=1e-5)
            assert torch.allclose(whole.aligned[number], alone.aligned[0], atol=1e-5)
        swapped = render_batch(network, Batch(pool, lips, targets, mel, chosen.flip(1)))
    assert not torch.allclose(whole.image, swapped.image, atol=1e-3)
