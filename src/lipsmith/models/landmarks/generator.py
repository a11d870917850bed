"""The landmark generator: speech, pose and reference shapes to lips and jaw, after IP_LAP.

It runs as two stages: `LandmarkGenerator.speech` once per video frame, `LandmarkGenerator.transformer` once per window.
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from lipsmith.face.landmarks import NUM_JAW, NUM_LIPS
from lipsmith.models.blocks import zeroed
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.expected import expected_content, followed, steadied
from lipsmith.models.landmarks.layers import EncoderLayer, TemporalResidual, build_point_encoder, sinusoids
from lipsmith.models.landmarks.placement import Placement
from lipsmith.models.mel_encoder import FeatureEncoder, JointEncoder, MelEncoder
from lipsmith.speech.mel import MELS


class LandmarkGenerator(nn.Module):
    """The speech encoder and the transformer; either can be replaced by another with the same interface."""

    def __init__(self, speech: nn.Module, transformer: nn.Module) -> None:
        super().__init__()
        self.speech = speech
        self.transformer = transformer

    def forward(self, mel: Tensor, pose: Tensor, references: Tensor) -> Tensor:
        """Content `(b, T, 57, 2)` in crop units.

        mel: `(b, T, bands, 16)`, the speech around each frame. pose: `(b, T, 74, 2)`. references: `(b, N, 131, 2)`.
        """
        content: Tensor = self.transformer(self.tokens(mel), pose, references)
        return content

    def tokens(self, mel: Tensor) -> Tensor:
        """Speech tokens `(b, T, d)` of `mel`."""
        tokens: Tensor = self.speech(rearrange(mel, "b t c s -> (b t) 1 c s"))
        return rearrange(tokens, "(b t) d -> b t d", t=mel.shape[1])


def build_landmark_generator(config: LandmarkConfig) -> LandmarkGenerator:
    """The network that `config` describes, with random weights."""
    return LandmarkGenerator(build_speech_encoder(config), LandmarkTransformer(config))


def build_speech_encoder(config: LandmarkConfig) -> nn.Module:
    """The encoder of one frame's speech, for the configured features."""
    if config.features == "posteriors":
        return FeatureEncoder(config.bands, config.speech_channels[0], config.dim)
    a, b, c, d, e = config.speech_channels
    mel = MelEncoder((a, b, c, d, e), config.dim, config.speech_residuals)
    return mel if config.features == "mel" else JointEncoder(mel, config.bands - MELS, config.dim)


class LandmarkTransformer(nn.Module):
    """Fuses reference, speech and pose tokens. Speech positions predict the lips and pose positions the jaw, or a
    shared position predicts both.

    Predicts the offset from what the references alone let expect at the frame's pose (`expected_content`, `followed`),
    which is also what an untrained model gives. `Placement`, if configured, is added to the result.
    """

    _UNIT = 0.05
    """Crop units per unit of the network, about the spread of a mouth."""

    def __init__(self, config: LandmarkConfig) -> None:
        super().__init__()
        dim = config.dim
        self.read_reference = build_point_encoder(config)
        self.read_pose = build_point_encoder(config)
        self.temporal = nn.Sequential(*(TemporalResidual(dim) for _ in range(config.temporal)))
        self.normalise = nn.LayerNorm(dim)
        self.modality = nn.Parameter(0.02 * torch.randn(3, dim))
        self.layers = nn.ModuleList(
            EncoderLayer(dim, config.heads, config.feed_forward, config.dropout) for _ in range(config.layers)
        )
        self.drop = nn.Dropout(config.dropout)
        self.steady, self.nearness, self.joint = config.steady, config.nearness, config.joint
        self.lips = zeroed(nn.Linear(dim, NUM_LIPS * 2))
        self.jaw = zeroed(nn.Linear(dim, NUM_JAW * 2))
        self.placement = Placement() if config.placed else None

    def forward(self, tokens: Tensor, pose: Tensor, references: Tensor) -> Tensor:
        """Content `(b, T, 57, 2)`, crop units, for any T and N.

        tokens: `(b, T, d)` from the speech encoder. pose: `(b, T, 74, 2)` and references: `(b, N, 131, 2)`, in crop
        units.
        """
        frames, count = tokens.shape[1], references.shape[1]
        motion = self.motion(pose, references)
        pose = steadied(pose, self.steady)
        mean = reduce(references, "b n p c -> b 1 p c", "mean")
        expected = expected_content(pose, references, self.nearness)
        face = torch.cat([pose, expected], dim=2)
        position = sinusoids(frames, tokens.shape[2], tokens)
        of_reference, of_speech, of_pose = self.modality
        seen = self.normalise(self.read_reference(references, references - mean)) + of_reference
        heard = self.normalise(self.temporal(tokens)) + of_speech + position
        posed = self.normalise(self.read_pose(face, face - mean)) + of_pose + position
        frame_tokens = (heard + posed - position,) if self.joint else (heard, posed)
        sequence = self.drop(torch.cat([seen, *frame_tokens], dim=1))
        for layer in self.layers:
            sequence = layer(sequence)
        lips = rearrange(self.lips(sequence[:, count : count + frames]), "b t (p c) -> b t p c", c=2)
        jaw = rearrange(self.jaw(sequence[:, -frames:]), "b t (p c) -> b t p c", c=2)
        content: Tensor = expected + motion + self._UNIT * torch.cat([jaw, lips], dim=2)
        return content

    def motion(self, pose: Tensor, references: Tensor) -> Tensor:
        """How the head moves content `(b, T, 57, 2)` outside the network."""
        motion = followed(pose, self.steady)
        return motion if self.placement is None else motion + self.placement(pose, references, self.steady)

    def unspoken(self, pose: Tensor, references: Tensor) -> Tensor:
        """Content `(b, T, 57, 2)` as an untrained network gives it; arguments as of `forward`."""
        expected = expected_content(steadied(pose, self.steady), references, self.nearness)
        return expected + self.motion(pose, references)
