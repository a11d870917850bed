"""Wav2Lip's generator and the scaling of published widths."""

from __future__ import annotations

import torch

from lipsmith.models.peers.config import Wav2LipConfig, scaled
from lipsmith.models.peers.wav2lip import SIZE, Wav2Lip, generate


def test_widths_are_multiples_of_four() -> None:
    assert [scaled(channels, 0.125) for channels in (16, 32, 80, 512)] == [4, 4, 8, 64]
    assert scaled(512, 1.0) == 512


@torch.no_grad()
def test_the_face_depends_on_speech_target_and_reference() -> None:
    torch.manual_seed(0)
    net = Wav2Lip(Wav2LipConfig(width=0.01))
    mel, masked, reference = torch.rand(2, 1, 80, 16), torch.rand(2, 3, SIZE, SIZE), torch.rand(2, 3, SIZE, SIZE)
    face = net(mel, masked, reference)
    assert face.shape == (2, 3, SIZE, SIZE)
    assert 0 <= face.min() <= face.max() <= 1
    for changed in ((-mel, masked, reference), (mel, 1 - masked, reference), (mel, masked, 1 - reference)):
        assert not torch.allclose(face, net(*changed))


@torch.no_grad()
def test_the_lower_half_of_the_target_does_not_matter() -> None:
    torch.manual_seed(0)
    net = Wav2Lip(Wav2LipConfig(width=0.01)).eval()
    target, reference, mel = torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128), torch.rand(1, 1, 80, 16)
    other = target.clone()
    other[:, :, 64:] = 1 - other[:, :, 64:]
    face = generate(net, target, reference, mel)
    assert torch.equal(face, generate(net, other, reference, mel))
    other[:, :, 63] = 1 - other[:, :, 63]
    assert not torch.equal(face, generate(net, other, reference, mel))
