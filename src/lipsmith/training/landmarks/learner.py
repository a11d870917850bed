"""The landmark generator in training, with a phoneme classifier that is not exported."""

from __future__ import annotations

from typing import Self, cast

from torch import Tensor, nn

from lipsmith.models.landmarks.generator import LandmarkGenerator, LandmarkTransformer, build_landmark_generator
from lipsmith.models.mel_encoder import MelEncoder
from lipsmith.speech.phonemes import GROUPS
from lipsmith.training.landmarks.config import LandmarkTraining


class Learner(nn.Module):
    """A generator with a phoneme classifier on its speech tokens.

    An hour of footage teaches a network little about speech; the recognizer was trained on far more.
    """

    def __init__(self, config: LandmarkTraining) -> None:
        super().__init__()
        self.generator: LandmarkGenerator = build_landmark_generator(config.model)
        self.phonemes = nn.Linear(config.model.dim, len(GROUPS)) if config.loss.phonemes else None
        self.frozen = config.frozen
        for level in self._frozen_levels():
            level.requires_grad_(False)

    def thaw(self) -> None:
        """Let the frozen levels be trained, too."""
        for level in self._frozen_levels():
            level.requires_grad_(True)
        self.frozen = 0

    def forward(self, mel: Tensor, pose: Tensor, references: Tensor) -> tuple[Tensor, Tensor | None]:
        """Content as in `LandmarkGenerator`, and logits `(b, T, g)` of phoneme groups if these are learned."""
        tokens, transformer = self.generator.tokens(mel), cast(LandmarkTransformer, self.generator.transformer)
        content: Tensor = transformer(tokens, pose, references)
        if self.phonemes is None:
            return content, None
        heard = transformer.temporal(tokens)
        return content, self.phonemes(heard)

    def train(self, mode: bool = True) -> Self:
        """Like any module, but frozen levels also keep their normalization statistics."""
        super().train(mode)
        for level in self._frozen_levels():
            level.eval()
        return self

    def _frozen_levels(self) -> list[nn.Module]:
        return list(cast(MelEncoder, self.generator.speech).levels)[: self.frozen] if self.frozen else []
