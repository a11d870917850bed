"""Lip-sync judges: networks that measure the distance between mouth and speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from lipsmith.errors import WeightsError
from lipsmith.evaluation.metrics.lse import OFFICIAL, OWN, REACH, shift_distances
from lipsmith.evaluation.metrics.mfcc import FRAME_RATE, mfcc, samples
from lipsmith.inference.model_folder import ModelFolder, find_model
from lipsmith.inference.weights import WEIGHTS, with_weights
from lipsmith.models.sync.official import SIZE, STEPS, OfficialSyncNet
from lipsmith.models.sync.syncnet import WINDOW, SyncNet, SyncNetConfig, windows
from lipsmith.models.third_party import third_party
from lipsmith.speech.mel import MEL_RATE, WINDOW_LEAD, mel_windows
from lipsmith.speech.mel import WINDOW as MEL_STEPS

FPS: Final = 25.0
_AT_ONCE: Final = 64


@dataclass(frozen=True)
class SpeechTrack:
    """Speech, starting at time 0 of the clip."""

    mel: NDArray[np.float32]
    """(80, steps) in [-4, 4]."""
    wave: NDArray[np.float32] | None = None
    """(n,) in [-1, 1] at 16 kHz; the official judge needs it."""


class SyncJudge(Protocol):
    """Measures the distance between mouths and speech."""

    name: str
    """Name of the judge, reported with every figure, because figures of different judges do not compare."""

    def distances(
        self, crops: NDArray[np.uint8], times: NDArray[np.float64], sound: SpeechTrack
    ) -> NDArray[np.float32]:
        """`(W, 31)`: distance of each window of five frames at 25 a second from the speech -15..15 frames later.

        `crops`: `(F, S, S, 3)` successive face crops; `times`: `(F,)` seconds on the sound's clock, at any rate.
        """


class OwnJudge:
    """The judge that lipsmith trains and ships."""

    name = "lipsmith-sync"

    def __init__(self, net: SyncNet) -> None:
        self._net = net.eval()
        self._embedded: tuple[SpeechTrack, NDArray[np.float64], NDArray[np.float32]] | None = None

    @torch.no_grad()
    def distances(
        self, crops: NDArray[np.uint8], times: NDArray[np.float64], sound: SpeechTrack
    ) -> NDArray[np.float32]:
        """See `SyncJudge`. Embeddings of speech shared with the previous call are reused."""
        index, ticks = on_grid(times)
        if len(index) < WINDOW:
            return np.zeros((0, 2 * REACH + 1), np.float32)
        if self._embedded is None or self._embedded[0] is not sound or not np.array_equal(self._embedded[1], ticks):
            self._embedded = sound, ticks, self._speech(ticks, sound.mel)
        pictures = rearrange(torch.from_numpy(crops[index]), "f h w c -> f c h w").float() / 255
        mouths = windows(self._net.mouths(pictures))
        mouth = torch.cat([self._net.mouth(part) for part in torch.split(mouths, _AT_ONCE)])
        return shift_distances(mouth.numpy(), self._embedded[2])

    def _speech(self, ticks: NDArray[np.float64], mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings of all windows from 15 frames before the first center to 15 after the last, NaN outside."""
        centers = np.arange(WINDOW // 2 - REACH, len(ticks) - WINDOW // 2 + REACH) / FPS + ticks[0]
        starts = np.floor(MEL_RATE * centers - WINDOW_LEAD + 1e-6)
        there = (starts >= 0) & (starts + MEL_STEPS <= mel.shape[1])
        speech_windows = torch.from_numpy(mel_windows(mel, centers))[:, None]
        speech = torch.cat([self._net.speech(part) for part in torch.split(speech_windows, _AT_ONCE)]).numpy()
        speech[~there] = np.nan
        return speech


class OfficialJudge:
    """SyncNet of Chung & Zisserman (2016) with its published weights, on our crop scaled to 224 x 224.

    Published figures use a wider crop from another face detector, so they differ somewhat.
    """

    name = "syncnet_v2"

    def __init__(self, net: OfficialSyncNet) -> None:
        self._net = net.eval()

    @torch.no_grad()
    def distances(
        self, crops: NDArray[np.uint8], times: NDArray[np.float64], sound: SpeechTrack
    ) -> NDArray[np.float32]:
        """See `SyncJudge`. Raises WeightsError for speech without a waveform."""
        if sound.wave is None:
            raise WeightsError(
                "syncnet_v2 needs waveforms, but prepared clips store mels; use it with `lipsmith score`."
            )
        index, ticks = on_grid(times)
        if len(index) < WINDOW:
            return np.zeros((0, 2 * REACH + 1), np.float32)
        count = len(index) - WINDOW + 1
        mouth = [self._embed_mouth(crops[index[i : i + WINDOW]]) for i in range(count)]
        first = ticks[0] - REACH / FPS
        return shift_distances(np.concatenate(mouth), self._embed_speech(sound.wave, first, count + 2 * REACH))

    def _embed_mouth(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embedding `(1, 1024)` of five crops."""
        scaled = np.stack([cv2.resize(crop, (SIZE, SIZE))[..., ::-1] for crop in crops])
        return np.asarray(self._net.mouth(rearrange(torch.from_numpy(scaled), "t h w c -> 1 c t h w").float()))

    def _embed_speech(self, wave: NDArray[np.float32], first: float, count: int) -> NDArray[np.float32]:
        """Embeddings `(count, 1024)` of windows of 0.2 s, the first at `first` seconds and then one per frame; NaN
        outside the sound."""
        starts = np.rint((first + np.arange(count) / FPS) * FRAME_RATE).astype(int)
        # Only the needed part of a long film, plus one step before it, whose pre-emphasis is wrong.
        early = max(0, int(starts[0]) - 1)
        part = wave[samples(early, int(starts[-1]) + STEPS)]
        # The published network was trained on 16-bit samples, and the zeroth coefficient depends on their scale.
        coefficients = mfcc(part * 32768.0)
        there = (starts >= 0) & (starts - early + STEPS <= len(coefficients))
        steps = np.where(there, starts - early, 0)[:, None] + np.arange(STEPS)
        windows = torch.from_numpy(coefficients[np.minimum(steps, len(coefficients) - 1)]).float()
        batches = torch.split(rearrange(windows, "b t c -> b 1 c t"), _AT_ONCE)
        embeddings = np.concatenate([self._net.speech(batch).numpy() for batch in batches])
        embeddings[~there] = np.nan
        return embeddings


def load_judge(name: str = OWN) -> SyncJudge:
    """Our judge (`sync`, or a model folder of that kind) or the official one (`syncnet_v2`). Raises WeightsError if its
    weights are missing."""
    if name == OFFICIAL:
        official = OfficialSyncNet()
        official.load_state_dict(torch.load(third_party(OFFICIAL), map_location="cpu", weights_only=True))
        return OfficialJudge(official)
    return OwnJudge(load_syncnet(find_model(name)))


def load_syncnet(folder: ModelFolder) -> SyncNet:
    """The network in a folder written by training. Raises WeightsError for another kind of model or a damaged one."""
    network = SyncNet(folder.architecture(SyncNetConfig, "sync", "a lip-sync judge"))
    return with_weights(network, folder.path / WEIGHTS)


def on_grid(times: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Indices `(G,)` of the frames, at rising `times`, nearest to ticks at 25 a second, and the ticks `(G,)`."""
    count = 1 + int(np.floor((times[-1] - times[0]) * FPS + 0.5)) if len(times) else 0
    ticks = times[0] + np.arange(count) / FPS if count else np.zeros(0)
    middles = (times[1:] + times[:-1]) / 2
    return np.searchsorted(middles, ticks), ticks
