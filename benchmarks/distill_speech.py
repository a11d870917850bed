"""Trains the landmark generator on speech without pictures, for which a teacher tells the mouths.

    python benchmarks/distill_speech.py DATA SPEECH WORK [--steps 2500] [--minutes 46] [--threads 2]

DATA has prepared clips whose sources are in place, SPEECH sound files of any format and language. The teacher is the
shipped generator trained on with what a phoneme recognizer hears beside the mel (`hama`, Apache-2.0, extra `measure`).
The student hears the mel alone, by a wider encoder than that of the packaged config `fast`, and can be exported. Either
training goes on where it was stopped. WORK gets hearing/ (the clips with 64 posteriors after the mel), speech/,
teacher/ and student/.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from lipsmith.config import load_config
from lipsmith.data.phonemes import PHONEMES
from lipsmith.errors import InputError
from lipsmith.evaluation.landmarks import Trial
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.inference.speak import RATE
from lipsmith.models.landmarks.generator import LandmarkGenerator, build_landmark_generator
from lipsmith.models.mel_encoder import JointEncoder
from lipsmith.speech.mel import MELS, SAMPLE_RATE, WINDOW, mel_spectrogram, read_audio
from lipsmith.training.checkpoint import load_initial_weights
from lipsmith.training.landmarks.augment import exchange_pose, silence, vary_faces, vary_speech
from lipsmith.training.landmarks.config import LandmarkTraining
from lipsmith.training.landmarks.learner import Learner
from lipsmith.training.landmarks.sampler import Window
from lipsmith.training.landmarks.task import LandmarkTask
from lipsmith.training.loop import Settings, fit
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.landmarks import landmark_loss, phoneme_error
from speech_features import Recogniser, convert, in_step

TOKENS = 64
"""Outputs of the recognizer that the teacher hears: those that the clips hold most."""
LOUDNESS = 0.06
"""Root mean square of each recording."""
LONG = 9.0
"""Seconds from which recordings are a text of their own; shorter ones of a folder are joined."""
REAL, SPOKEN = 32, 48
"""Windows per step with and without a picture."""
STEPS_PER_FRAME = 3.2
"""Mel steps per frame at 25 frames per second."""


class Speech:
    """Speech without pictures, and the teacher's tokens of it, 25 a second."""

    def __init__(self, files: list[Path], teacher: LandmarkGenerator, window: int) -> None:
        self._mels, self._tokens = [], []
        for file in files:
            with np.load(file) as stored:
                bands = torch.from_numpy(stored["bands"])
            frames = int((bands.shape[1] - WINDOW) / STEPS_PER_FRAME)
            if frames <= window:
                continue
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                self._tokens.append(teacher.speech(_windows(bands, 0, frames)[:, None]).half())
            self._mels.append(bands[:MELS])
        lengths = torch.tensor([len(tokens) for tokens in self._tokens], dtype=torch.float64)
        self._share = lengths / lengths.sum()
        logging.info("speech: %.2f hours", float(lengths.sum()) / RATE / 3600)

    def draw(self, count: int, frames: int) -> tuple[Tensor, Tensor]:
        """Mel windows `(count, frames, 80, 16)` and the teacher's tokens `(count, frames, d)`."""
        windows, tokens = [], []
        for text in torch.multinomial(self._share, count, replacement=True).tolist():
            first = int(torch.randint(len(self._tokens[text]) - frames, ()))
            windows.append(_windows(self._mels[text], first, frames))
            tokens.append(self._tokens[text][first : first + frames])
        return torch.stack(windows), torch.stack(tokens).float()


def _windows(bands: Tensor, first: int, frames: int) -> Tensor:
    """The windows `(frames, bands, 16)` of frames from `first` on, in `(bands, steps)`."""
    starts = (STEPS_PER_FRAME * torch.arange(first, first + frames, dtype=torch.float64)).floor().long()
    return rearrange(bands[:, starts[:, None] + torch.arange(WINDOW)].float(), "c t s -> t c s")


class TeacherTask(LandmarkTask):
    """Trains the shipped generator on, with posteriors after the mel."""

    def build(self) -> Learner:
        """The learner with the shipped weights; it does not hear the posteriors yet."""
        learner = super().build()
        shipped = build_landmark_generator(replace(self.config.model, features="mel", bands=MELS))
        load_initial_weights(shipped, "fast", self.name)
        assert isinstance(learner.generator.speech, JointEncoder)
        learner.generator.speech.mel.load_state_dict(shipped.speech.state_dict())
        learner.generator.transformer.load_state_dict(shipped.transformer.state_dict())
        return learner


@dataclass(frozen=True)
class Lesson:
    """A batch of the student: first windows with pictures, then as many poses with other speech."""

    seen: Window
    speech: Tensor
    """(b, T, 80, 16)."""
    pose: Tensor
    """(b, T, 74, 2)."""
    references: Tensor
    """(b, N, 131, 2)."""
    heard: Tensor
    """(b, T, d), the teacher's tokens after their neighbors are mixed in."""
    known: Tensor
    """(b, T) whether the student hears that, too: not where its speech was silenced."""
    told: Tensor
    """(windows without pictures, T, 57, 2): the teacher's content."""


class Student(Learner):
    """A learner that also tells its tokens."""

    def forward(self, mel: Tensor, pose: Tensor, references: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Content, logits of phonemes, and the tokens that the transformer sees."""
        tokens = self.generator.speech(rearrange(mel, "b t c s -> (b t) 1 c s"))
        tokens = rearrange(tokens, "(b t) d -> b t d", t=pose.shape[1])
        transformer: Any = self.generator.transformer
        mixed = transformer.temporal(tokens)
        assert self.phonemes is not None
        return transformer(tokens, pose, references), self.phonemes(mixed), transformer.normalise(mixed)


class StudentTask(LandmarkTask):
    """Learns mouths from the clips, and from what the teacher says of speech without pictures."""

    def __init__(self, config: LandmarkTraining, teacher: LandmarkGenerator, speech: Speech) -> None:
        super().__init__(config)
        self.samples = REAL + SPOKEN
        self.weights |= {f"told_{name}": weight for name, weight in self.weights.items()} | {"heard": 0.02}
        self._teacher, self._speech = teacher, speech

    def load(self, data: Path, device: torch.device) -> str:
        """As for any generator; it is validated on the mel alone."""
        loaded = super().load(data, device)
        self.trials = list(map(_by_mel, self.trials))
        return loaded

    def filmed(self) -> Iterator[Trial]:
        """Trials of the training clips, with the mel alone."""
        return map(_by_mel, super().filmed())

    def build(self) -> Learner:
        """The teacher's transformer, and its mel encoder as far as the student's has the same sizes."""
        learner = Student(self.config)
        learner.generator.transformer.load_state_dict(self._teacher.transformer.state_dict())
        pairs: Any = zip(learner.generator.speech.levels, self._teacher.speech.levels, strict=False)  # type: ignore[arg-type]
        for level, like in pairs:
            shapes = ({name: value.shape for name, value in of.state_dict().items()} for of in (level, like))
            if next(shapes) != next(shapes):
                break
            level.load_state_dict(like.state_dict())
        return learner

    def batch(self, random: torch.Generator) -> Lesson:  # type: ignore[override]
        """Augmented windows of clips, and poses of these with other speech."""
        config, frames = self.config, self.config.model.window
        seen = vary_faces(self.drawn(REAL, random), config.augment, random)
        said = vary_speech(seen.speech, config.augment, random)[:, :, :MELS]
        spoken = silence(replace(seen, speech=said), config.augment.silence, random)
        known = (spoken.speech == said).flatten(2).all(-1)
        transformer: Any = self._teacher.transformer
        target = exchange_pose(spoken, config.augment, transformer.unspoken, random)
        lent = torch.arange(SPOKEN) % REAL
        pose, references = target.points[:, :, :NUM_POSE], target.references
        other, tokens = self._speech.draw(SPOKEN, frames)
        with self.precision:
            of_clips = self._teacher.speech(rearrange(seen.speech, "b t c s -> (b t) 1 c s")).float()
            tokens = torch.cat([rearrange(of_clips, "(b t) d -> b t d", t=frames), tokens])
            heard = transformer.normalise(transformer.temporal(tokens))
            told = transformer(tokens[REAL:], pose[lent], references[lent])
        return Lesson(
            seen=target,
            speech=torch.cat([target.speech, vary_speech(other, config.augment, random)]),
            pose=torch.cat([pose, pose[lent]]),
            references=torch.cat([references, references[lent]]),
            heard=heard.float(),
            known=torch.cat([known, known.new_ones(SPOKEN, frames)]),
            told=told.float(),
        )

    def losses(  # type: ignore[override]
        self, network: nn.Module, batch: Lesson, done: float, adversary: Adversary | None
    ) -> dict[str, Tensor]:
        """The terms of `landmark_loss` against the clips and against the teacher, and of its tokens."""
        with self.precision:
            content, logits, heard = network(batch.speech, batch.pose, batch.references)
        content, rules = content.float(), self.config.loss
        terms = landmark_loss(content[:REAL], batch.seen.points[:, :, NUM_POSE:], rules, batch.seen.bilabial)
        terms["phonemes"] = phoneme_error(logits[:REAL].float(), batch.seen.phonemes)
        told = landmark_loss(content[REAL:], batch.told, rules)
        error = (heard.float() - batch.heard).square().mean(-1)
        heard_error = (error * batch.known).sum() / batch.known.sum()
        return terms | {f"told_{name}": value for name, value in told.items()} | {"heard": heard_error}


def _by_mel(trial: Trial) -> Trial:
    return replace(trial, mel=trial.mel[:MELS])


def recordings(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Speech at 16 kHz, of equal loudness; short recordings of a folder are joined, with pauses."""
    random = np.random.default_rng(0)
    for _, siblings in groupby(sorted(filter(Path.is_file, folder.rglob("*"))), lambda path: path.parent):
        text: list[NDArray[np.float32]] = []
        for path in siblings:
            try:
                wave = read_audio(path)
            except InputError as error:
                logging.info("%s", error)
                continue
            loudness, peak = float(np.sqrt(np.square(wave).mean())), float(np.abs(wave).max())
            if loudness < 1e-4:
                continue
            pause = random.normal(0, 1e-4, random.integers(SAMPLE_RATE // 20, SAMPLE_RATE // 3))
            text += [wave * min(LOUDNESS / loudness, 0.95 / peak), pause.astype(np.float32)]
            if sum(map(len, text)) > LONG * SAMPLE_RATE:
                yield np.concatenate(text)[: 40 * SAMPLE_RATE]
                text = []
        if text:
            yield np.concatenate(text)


def hear(speech: Path, out: Path, kept: NDArray[np.intp]) -> None:
    """Write mel and posteriors of all recordings, one file each."""
    recognizer = Recogniser()
    out.mkdir(parents=True, exist_ok=True)
    for number, wave in enumerate(recordings(speech)):
        mel = mel_spectrogram(wave)
        others = in_step(recognizer(wave), mel.shape[1])[kept]
        np.savez(out / f"{number:05}.npz", bands=np.concatenate([mel.astype(np.float16), others]))


def student_config(minutes: float) -> LandmarkTraining:
    """The packaged config, with a speech encoder of wider upper levels."""
    config = load_config(LandmarkTraining, "landmarks", "fast")
    model = replace(config.model, speech_channels=(12, 24, 96, 192, 384), speech_residuals=(0, 0, 1, 1))
    return replace(config, model=model, minutes=minutes, batch=REAL, learning_rate=8e-4, validate_every=800)


def teacher_config(steps: int) -> LandmarkTraining:
    """The packaged config, with posteriors after the mel."""
    config = load_config(LandmarkTraining, "landmarks", "fast")
    model = replace(config.model, features="both", bands=MELS + TOKENS)
    return replace(config, model=model, steps=steps, validate_every=500)


def main() -> None:
    """Hear, teach, learn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared clips, with their sources still in place")
    parser.add_argument("speech", type=Path, help="folder of sound files")
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=2500, help="of the teacher")
    parser.add_argument("--minutes", type=float, default=46, help="of the student")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    hearing, spoken = options.work / "hearing", options.work / "speech"
    if not (spoken / "done").is_file():
        kept = convert(options.data, hearing, TOKENS, mel=True)
        if (options.data / PHONEMES).is_file():
            shutil.copy(options.data / PHONEMES, hearing)
        hear(options.speech, spoken, kept)
        (spoken / "done").touch()
    config = teacher_config(options.steps)
    fit(TeacherTask(config), Settings(hearing, options.work / "teacher"))
    teacher = build_landmark_generator(config.model).eval().requires_grad_(False)
    teacher.load_state_dict(load_file(options.work / "teacher" / "landmarks.safetensors"))
    student = student_config(options.minutes)
    speech = Speech(sorted(spoken.glob("*.npz")), teacher, student.model.window)
    fit(StudentTask(student, teacher, speech), Settings(hearing, options.work / "student"))


if __name__ == "__main__":
    main()
