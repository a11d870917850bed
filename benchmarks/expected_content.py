"""Measures the prediction from references alone for the two constants of `expected_content`, on the split `val`.

`python benchmarks/expected_content.py DATA` prints L1 (% of the crop) and r for a grid round the constants in force.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import torch

from lipsmith.evaluation.landmarks import Trial, load_trials, total
from lipsmith.evaluation.metrics.landmarks import opening_r
from lipsmith.models.landmarks import expected as module
from lipsmith.models.landmarks.config import LandmarkConfig

NEARNESS = (3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e9)
TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)


def expected(trial: Trial, nearness: float) -> dict[str, float]:
    """L1 and r of the prediction without speech."""
    pose, references = torch.from_numpy(trial.pose)[None], torch.from_numpy(trial.references)[None]
    with torch.inference_mode():
        steady = module.steadied(pose, LandmarkConfig.steady)
        content = module.expected_content(steady, references, nearness)[0].numpy()[trial.counted]
    truth = trial.truth[trial.counted]
    return {"l1": 100 * float(np.abs(content - truth).mean()), "r": opening_r(content, truth)}


def main() -> None:
    """Print the grid, the smallest L1 marked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="prepared clips")
    trials = [trial for trial in load_trials(parser.parse_args().data, "val", 15) if trial.strict]
    identities = [trial.record.identity for trial in trials]
    found = {}
    for nearness, trust in product(NEARNESS, TRUST):
        module._TRUST = trust
        found[nearness, trust] = total([expected(trial, nearness) for trial in trials], identities)
    best = min(found, key=lambda constants: found[constants]["l1"])
    print(f"{'nearness':>9} {'trust':>6} {'L1 %':>7} {'r':>6}")
    for (nearness, trust), figures in found.items():
        mark = " *" if (nearness, trust) == best else ""
        print(f"{nearness:9.0e} {trust:6.2f} {figures['l1']:7.4f} {figures['r']:6.2f}{mark}")


if __name__ == "__main__":
    main()
