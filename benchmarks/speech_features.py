"""Compares mel and phoneme posteriors as input of stage 1, with the same clips and steps.

    python benchmarks/speech_features.py DATA WORK [--steps 2400] [--threads 1] [--only mel|posteriors]

Posteriors need `pip install hama` (Apache-2.0), whose phoneme recognizer runs offline. WORK gets a copy of the prepared
clips' geometry in which phoneme posteriors stand where the mel stood, two training runs, and a table on val and test.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lipsmith.config import load_config
from lipsmith.data.clips import ClipRecord, read_manifest, write_manifest
from lipsmith.evaluation.landmarks import evaluate
from lipsmith.speech.mel import MEL_LIMIT, MEL_RATE, MELS, SAMPLE_RATE, read_audio
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.landmarks.stages import load_generator
from lipsmith.training.landmarks.task import LandmarkTask
from lipsmith.training.loop import Settings, fit

FRAME_SECONDS = 0.02
FIGURES = ("opening_r", "leak_r", "l1_percent", "lip_lmd", "amplitude", "jitter_ratio")


class Recogniser:
    """Log-posteriors of phonemes, 50 times a second."""

    def __init__(self) -> None:
        from hama.asr import ASRModel  # here, since --only mel does without

        self.model = ASRModel()

    def __call__(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples `(n,)` at 16 kHz to `(frames, tokens)`."""
        wave = np.pad(wave, (0, max(0, SAMPLE_RATE // 2 - len(wave))))
        feeds = {"waveform": wave[None], "waveform_lengths": np.array([len(wave)], np.int64)}
        found, lengths = self.model.session.run(["log_probs", "out_lengths"], feeds)
        return np.asarray(found[0][: int(lengths[0])], np.float32)


def heard(recognizer: Recogniser, record: ClipRecord, steps: int) -> NDArray[np.float16]:
    """Log-posteriors `(tokens, steps)` in step with the clip's mel; see `in_step`."""
    return in_step(recognizer(read_audio(record.source)), steps, record.start or 0.0)


def in_step(logs: NDArray[np.float32], steps: int, start: float = 0.0) -> NDArray[np.float16]:
    """Log-posteriors `(frames, tokens)` at the steps of a mel that begins at `start` seconds, `(tokens, steps)`.

    -8 to 0 becomes the mel's -4 to 4.
    """
    times = ((np.arange(steps) + 0.5) / MEL_RATE + start) / FRAME_SECONDS - 0.5
    low = np.clip(np.floor(times).astype(int), 0, len(logs) - 2)
    share = np.clip(times - low, 0, 1)[:, None]
    between = (1 - share) * logs[low] + share * logs[low + 1]
    return np.asarray(np.clip(between + MEL_LIMIT, -MEL_LIMIT, MEL_LIMIT).T, np.float16)


def convert(data: Path, out: Path, count: int = MELS, mel: bool = False) -> NDArray[np.intp]:
    """Write the clips anew with posteriors for mel, or after the `mel`; returns which tokens.

    The `count` tokens are those that train clips hold most.
    """
    recognizer = Recogniser()
    # Where an earlier version prepared a clip that begins inside its source, the place of its sound is not known.
    records = [r for r in read_manifest(data) if r.start is not None or "+" not in Path(r.clip).name]
    found, spectra, said = {}, {}, []
    for record in records:
        with np.load(data / f"{record.clip}.npz") as stored:
            spectra[record.clip] = stored["mel"]
        found[record.clip] = heard(recognizer, record, spectra[record.clip].shape[1])
        if record.split == "train":
            said.append(np.exp(found[record.clip].astype(np.float32) - MEL_LIMIT).sum(1))
    mass = np.sum(said, axis=0)
    kept = np.sort(np.argsort(mass)[-count:])
    print(f"{count} of {len(mass)} tokens hold {mass[kept].sum() / mass.sum():.2%} of what the train clips say")
    for record in records:
        with np.load(data / f"{record.clip}.npz") as stored:
            arrays = {name: stored[name] for name in ("landmarks", "transforms", "times", "tracked")}
        path = out / f"{record.clip}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        bands = [spectra[record.clip]] * mel + [found[record.clip][kept]]
        np.savez(path, mel=np.concatenate(bands), **arrays)
    write_manifest(out, records)
    return kept


def configs(steps: int) -> dict[str, LandmarkTraining]:
    """The shipped config by what it hears; variations of mel make no sense of posteriors."""
    names = {"mel": "fast", "posteriors": "posteriors"}
    return {
        name: replace(load_config(LandmarkTraining, "landmarks", config), steps=steps) for name, config in names.items()
    }


def main() -> None:
    """Convert, train both, print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared clips, with their sources still in place")
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("mel", "posteriors"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folders = {"mel": options.data, "posteriors": options.work / "clips"}
    if options.only != "mel" and not (folders["posteriors"] / "manifest.jsonl").is_file():
        convert(options.data, folders["posteriors"])
    for name, config in configs(options.steps).items():
        if options.only in (None, name):
            fit(LandmarkTask(config), Settings(folders[name], options.work / name))
            generator = load_generator(str(options.work / name))
            for split in ("val", "test"):
                found = evaluate(generator, folders[name], split, lambda done, of: None).figures
                print(name, split, ", ".join(f"{figure} {found[figure]:.3f}" for figure in FIGURES), flush=True)


if __name__ == "__main__":
    main()
