"""Measures the cost of removing a part, clip by clip: trained ablations of the renderer against a complete run.

    python benchmarks/ablations.py DATA runs/whole runs/without_lips runs/without_audio

Training's own measure on the split `val` (every eighth frame, strict protocol, VGG on all of them), as the difference
from the first run. All runs render the same frames, so differences far below the spread between people are detectable.
The interval is the 95 % interval of the mean difference, by bootstrap over people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from lipsmith.config import build
from lipsmith.data.clips import ClipRecord, read_manifest
from lipsmith.evaluation.totals import interval
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.models.third_party import third_party
from lipsmith.models.vgg import VGG, load_vgg
from lipsmith.training.renderer.batch import RenderBatch
from lipsmith.training.renderer.config import RendererTraining
from lipsmith.training.renderer.figures import measure
from lipsmith.training.renderer.sampler import MOVED, TRUE, Batch, Footage, fixed_batches

FIGURES = ("psnr", "face_psnr", "vgg", "sharpness")
Trials = Sequence[tuple[ClipRecord, Batch]]


def trials(data: Path, model: RendererConfig, variant: int) -> Trials:
    footage = Footage(data, read_manifest(data, "val"), model.neighbors, torch.device("cpu"))
    return list(fixed_batches(footage, RendererTraining(model=model), variant=variant))


def config_of(run: Path) -> RendererConfig:
    card = json.loads((run / "renderer.json").read_text(encoding="utf-8"))
    return build(RendererConfig, card["training"]["model"], str(run))


@torch.no_grad()
def figures(run: Path, chosen: Trials, vgg: VGG) -> NDArray[np.float64]:
    """(clips, figures) of a run's weights."""
    config = config_of(run)
    network = RenderBatch(Renderer(config)).eval()
    network.network.load_state_dict(load_file(run / "renderer.safetensors"))
    found = [measure(network, [batch], [record.identity], config.top, vgg) for record, batch in chosen]
    return np.array([[row[name] for name in FIGURES] for row in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("whole", type=Path, help="run folder with nothing left out")
    parser.add_argument("without", type=Path, nargs="+", help="run folders to set beside it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--moved", action="store_true", help="landmarks that are off as predicted ones are")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = trials(options.data, config_of(options.whole), MOVED if options.moved else TRUE)
    vgg = load_vgg(third_party("lpips_vgg16"))
    people = np.array([record.identity for record, _ in chosen])
    whole = figures(options.whole, chosen, vgg)
    print(f"| run, {len(chosen)} clips of {len(set(people))} people |", " | ".join(FIGURES), "|")
    print("|---|" + "---:|" * len(FIGURES))
    print(f"| {options.whole.name} |", " | ".join(f"{value:.3f}" for value in whole.mean(0)), "|")
    for run in options.without:
        difference = figures(run, chosen, vgg) - whole
        spans = [interval(column, people) for column in difference.T]
        cells = [
            f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
            for mean, (low, high) in zip(difference.mean(0), spans, strict=True)
        ]
        print(f"| {run.name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
