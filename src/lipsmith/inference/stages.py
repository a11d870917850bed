"""The torch modules behind the stages of a model folder (see docs/architecture.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from torch import Tensor, nn

from lipsmith.config import build
from lipsmith.errors import WeightsError
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import LandmarkGenerator, build_landmark_generator
from lipsmith.models.renderer.alignment import References
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.detail import DetailShare
from lipsmith.models.renderer.network import Renderer

WEIGHTS: Final = "model.safetensors"
"""Both networks in one file; tensor names start with `landmarks.` or `renderer.`."""

T = TypeVar("T")


class RenderStage(nn.Module):
    """`Renderer.render` with only tensors as inputs and outputs."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.renderer = renderer
        self.share = DetailShare(renderer.config.face_size)

    def forward(
        self,
        target: Tensor,
        sketches: Tensor,
        points: Tensor,
        still: Tensor,
        mel: Tensor,
        reference_images: Tensor,
        reference_points: Tensor,
        reference_still: Tensor,
        fine: Tensor,
        coarse: Tensor,
        lips: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images `(b, 3, S, S)` in [0, 1], flow `(b, k, 2, H, S)` and detail shares `(b, k, H/4, S/4)`.

        Inputs as in `Renderer.render`, with the fields of its `References` passed one by one.
        """
        references = References(reference_images, reference_points, reference_still, fine, coarse)
        masked = self.renderer.mask(target, sketches)
        aligned = self.renderer.align(masked, points, still, references)
        image = self.renderer.paint(masked, aligned, mel, lips).image.clamp(0, 1)
        share = self.share(aligned.warped, aligned.weight, image[..., self.renderer.config.top :, :])
        return image, aligned.flow, share


def make_stages(generator: LandmarkGenerator, renderer: Renderer) -> dict[str, nn.Module]:
    """The five stages by name; they share the weights of the two networks."""
    return {
        "speech": generator.speech,
        "landmarks": generator.transformer,
        "reference": renderer.reference_encoder,
        "lip": renderer.lip_encoder,
        "render": RenderStage(renderer),
    }


def load_stages(path: Path) -> dict[str, nn.Module]:
    """The stages of the model folder `path`, on the CPU, in float32, ready for inference.

    Raises WeightsError if config or weights are missing, damaged, or do not match.
    """
    generator, renderer = load_networks(path)
    return make_stages(generator, renderer)


def load_networks(path: Path) -> tuple[LandmarkGenerator, Renderer]:
    """The two networks of the model folder `path`; otherwise like `load_stages`."""
    config, weights = _read(path)
    generator = build_landmark_generator(_configured(LandmarkConfig, config, "landmarks", path))
    renderer = Renderer(_configured(RendererConfig, config, "renderer", path))
    for name, network in (("landmarks", generator), ("renderer", renderer)):
        try:
            network.load_state_dict(of_network(weights, name))  # copies to float32 parameters
        except RuntimeError as error:
            raise WeightsError(
                f"{path / WEIGHTS} does not match config.json; download the model again ({error})"
            ) from error
    return generator.eval(), renderer.eval()


def of_network(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of one network of a model, `landmarks` or `renderer`, without the prefix."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for storage: matrices and kernels in float16, vectors and scalars unchanged.

    Rounding variances and log-scales would cost accuracy and save almost no space.
    """
    return {
        name: (value.half() if value.is_floating_point() and value.dim() > 1 else value).contiguous()
        for name, value in weights.items()
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return json.loads((path / "config.json").read_text(encoding="utf-8")), load_file(path / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: {WEIGHTS} or config.json is unreadable; download the model again ({error})"
        ) from error


def _configured(cls: type[T], config: Mapping[str, Any], key: str, path: Path) -> T:
    return build(cls, config.get(key), f"{path / 'config.json'}: {key}", WeightsError)
