"""The training task of the renderer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lipsmith.models.renderer.network import Renderer
from lipsmith.training.renderer.batch import RenderBatch
from lipsmith.training.renderer.config import RendererTraining
from lipsmith.training.renderer.picture_task import AlignedTask


class RendererTask(AlignedTask):
    """Trains `Renderer`, with an adversary if the config enables it."""

    def __init__(self, config: RendererTraining) -> None:
        super().__init__(config)
        self.config: RendererTraining = config

    def build(self) -> RenderBatch:
        """The renderer on batches."""
        renderer = Renderer(self.config.model)
        if self.config.train_only == "decoder":
            renderer.freeze_alignment()
        return RenderBatch(renderer)

    def identity(self) -> dict[str, Any]:
        """The architecture and the trained part."""
        return {"model": asdict(self.config.model), "train_only": self.config.train_only}
