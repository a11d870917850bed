"""Computes all metrics of a clip for several systems at once, and loads their networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.evaluation.listening import attempt
from lipsmith.evaluation.metrics.articulation import closure_figures
from lipsmith.evaluation.metrics.csim import csim
from lipsmith.evaluation.metrics.frechet import Moments, frechet
from lipsmith.evaluation.metrics.image_quality import psnr, sharpness, ssim
from lipsmith.evaluation.metrics.judge import SpeechTrack, SyncJudge, load_judge
from lipsmith.evaluation.metrics.landmarks import jitter, lip_lmd, redetect
from lipsmith.evaluation.metrics.lpips import Lpips, load_lpips, lpips
from lipsmith.evaluation.metrics.lse import OFFICIAL, sync_figures
from lipsmith.evaluation.metrics.obedience import obedience
from lipsmith.evaluation.metrics.regions import FACE, MOUTH, cut, flicker, windows
from lipsmith.evaluation.systems import REAL
from lipsmith.evaluation.totals import Row
from lipsmith.face.detector import FaceMesh
from lipsmith.face.landmarks import select
from lipsmith.inference.people import FaceRecognizer
from lipsmith.speech.phonemes import Phonemes

_VGG_EVERY: Final = 3
"""LPIPS-VGG and the Fréchet distance use every third frame, because VGG-16 costs several times as much as the rest."""
_CSIM_EVERY: Final = 5
_FEATURES: Final = 512

Crops = NDArray[np.uint8]
Lips = NDArray[np.float32]


@dataclass(frozen=True)
class Networks:
    """The networks; None if weights are missing, with the reason in `missing`."""

    mesh: FaceMesh
    lpips_alex: Lpips | None
    lpips_vgg: Lpips | None
    recognizer: FaceRecognizer | None
    judge: SyncJudge | None
    missing: dict[str, str]


def load_networks(judge: str) -> Networks:
    """Load all networks whose weights are found. Raises WeightsError if the judge is not found, unless it is
    `syncnet_v2`, whose weights are not shipped."""
    missing: dict[str, str] = {}
    return Networks(
        FaceMesh(),
        attempt("lpips_alex", partial(load_lpips, "alexnet"), missing),
        attempt("lpips_vgg", partial(load_lpips, "vgg16"), missing),
        attempt("csim", FaceRecognizer, missing),
        attempt("lse_d", partial(load_judge, judge), missing) if judge == OFFICIAL else load_judge(judge),
        missing,
    )


@dataclass(frozen=True)
class RealStretch:
    """A stretch of real film and its speech."""

    crops: Crops
    """(T, S, S, 3)."""
    meshes: NDArray[np.float32]
    """(T, 478, 2) crop units."""
    times: NDArray[np.float64]
    """(T,) seconds on the sound's clock."""
    sound: SpeechTrack
    """The speech that the systems were given."""
    is_truth: bool = True
    """Whether these pictures are the ground truth of the systems (False when driven by other speech)."""
    asked: NDArray[np.float32] | None = None
    """(T, 131, 2) crop units, the landmarks requested from the systems; None if unknown."""
    phonemes: Phonemes | None = None
    """What is said, in the clock of `times`; None where it is unknown."""


Watcher = Callable[[str, Crops, Mapping[str, Crops], bool], None]
"""Called with the name of a clip or of a pair of films, its real crops, those of each system, and whether the real ones
are the ground truth; `partial(lipsmith.evaluation.report.write_strip, folder)` is one."""


@dataclass
class Scorer:
    """Measures clip after clip; only sums of features are kept between clips."""

    networks: Networks
    regions: bool = False
    """Whether face and mouth are also measured separately, for large pictures."""
    _moments: dict[str, Moments] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """What the figures depend on besides the pictures, for the results."""
        return {
            "judge": self.networks.judge.name if self.networks.judge else None,
            "frechet_features": "VGG-16, last convolution, mean over space",
            "vgg_every": _VGG_EVERY,
            "csim_every": _CSIM_EVERY,
        }

    def find_lips(self, shown: RealStretch, systems: Mapping[str, Crops]) -> dict[str, Lips]:
        """Lips `(T, 40, 2)` found again in every system's pictures and in the film itself (`real`), pixels at 128."""
        everything = {REAL: shown.crops, **systems}
        return {name: redetect(self.networks.mesh, crops, shown.meshes) for name, crops in everything.items()}

    def score(
        self, shown: RealStretch, systems: Mapping[str, Crops], lips: Mapping[str, Lips] | None = None
    ) -> dict[str, Row]:
        """Figures by system, starting with the film itself (`real`); `curve` has the distances over shifts.

        `lips`: those of `find_lips`, where the caller needs them too.
        """
        everything = {REAL: shown.crops, **systems}
        rows: dict[str, Row] = {name: {"frames": len(crops)} for name, crops in everything.items()}
        if shown.is_truth:
            self._likeness("", shown.crops, systems, rows)
            self._perceive(shown, systems, rows)
        self._lips(shown, lips or self.find_lips(shown, systems), rows)
        self._identity(shown, everything, rows)
        self._sync(shown, everything, rows)
        detail = _mean(sharpness(lower_half(shown.crops)))
        for name, crops in systems.items():
            rows[name]["sharpness"] = _share(_mean(sharpness(lower_half(crops))), detail)
        if self.regions and shown.is_truth:
            for part in (FACE, MOUTH):
                self._region(part, shown, systems, rows)
        return rows

    def _region(self, part: str, shown: RealStretch, systems: Mapping[str, Crops], rows: dict[str, Row]) -> None:
        """Figures of one region of the face, at the clips' size."""
        places = windows(select(shown.meshes), part, shown.crops.shape[1])
        real, drawn = cut(shown.crops, places), {name: cut(crops, places) for name, crops in systems.items()}
        self._likeness(f"{part}.", real, drawn, rows)
        detail, unrest = _mean(sharpness(real)), flicker(real)
        for name, crops in drawn.items():
            rows[name][f"{part}.sharpness"] = _share(_mean(sharpness(crops)), detail)
            rows[name][f"{part}.flicker"] = _share(flicker(crops), unrest)

    def _likeness(self, prefix: str, real: Crops, systems: Mapping[str, Crops], rows: dict[str, Row]) -> None:
        """How like the real pictures those of the systems are, pixel by pixel and to AlexNet."""
        for name, crops in systems.items():
            rows[name] |= {f"{prefix}psnr": _mean(psnr(crops, real)), f"{prefix}ssim": _mean(ssim(crops, real))}
        if self.networks.lpips_alex:
            for name, seen in lpips(self.networks.lpips_alex, real, systems).items():
                if name != REAL:
                    rows[name][f"{prefix}lpips_alex"] = _mean(seen.distances)

    def frechet(self, system: str) -> float:
        """Fréchet distance of all pictures so far from the real ones; NaN without VGG-16."""
        if system not in self._moments:
            return float("nan")
        return frechet(self._moments[system], self._moments[REAL])

    def _perceive(self, shown: RealStretch, systems: Mapping[str, Crops], rows: dict[str, Row]) -> None:
        """What VGG-16 sees: LPIPS, and the features for the Fréchet distance."""
        if self.networks.lpips_vgg:
            thinned = {name: crops[::_VGG_EVERY] for name, crops in systems.items()}
            for name, seen in lpips(self.networks.lpips_vgg, shown.crops[::_VGG_EVERY], thinned).items():
                self._moments.setdefault(name, Moments(_FEATURES)).add(seen.features)
                if name != REAL:
                    rows[name]["lpips_vgg"] = _mean(seen.distances)

    def _lips(self, shown: RealStretch, lips: Mapping[str, Lips], rows: dict[str, Row]) -> None:
        for name, found in lips.items():
            rows[name]["jitter"] = jitter(found)
            if shown.is_truth and name != REAL:
                rows[name]["lip_lmd"] = _mean(lip_lmd(found, lips[REAL]))
            if shown.phonemes is not None:
                rows[name] |= closure_figures(found, shown.times, shown.phonemes)
            if shown.asked is not None:
                # The real film is compared with its own landmarks, which is the upper bound for a system.
                rows[name] |= obedience(found, select(shown.meshes) if name == REAL else shown.asked)

    def _identity(self, shown: RealStretch, everything: Mapping[str, Crops], rows: dict[str, Row]) -> None:
        if self.networks.recognizer is None:
            return
        some = slice(None, None, _CSIM_EVERY)
        meshes = shown.meshes[some] * shown.crops.shape[1]
        faces = {name: self.networks.recognizer(crops[some], meshes) for name, crops in everything.items()}
        for name, found in faces.items():
            rows[name]["csim"] = _mean(csim(found, faces[REAL]))

    def _sync(self, shown: RealStretch, everything: Mapping[str, Crops], rows: dict[str, Row]) -> None:
        if self.networks.judge is None:
            return
        for name, crops in everything.items():
            figures = sync_figures(self.networks.judge.distances(crops, shown.times, shown.sound))
            rows[name] |= figures.by_name | {"curve": [float(value) for value in figures.curve]}


def lower_half(crops: Crops) -> Crops:
    """The half of crops `(T, S, S, 3)` that systems render."""
    return crops[:, crops.shape[1] // 2 :]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _share(value: float, real: float) -> float:
    """`value` divided by the real film's; NaN where that is zero, as of the flicker of a frozen picture."""
    return value / real if real > 1e-9 else float("nan")
