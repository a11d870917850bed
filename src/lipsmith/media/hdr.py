"""Maps pictures of high dynamic range (HDR) to standard dynamic range (SDR).

Not by swscale, which needs seconds to prepare a conversion, clips what is brighter than white, and in PyAV takes the
peak of the mastering display for that of the result, which becomes dark.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
HDR_TRANSFERS: Final = {PQ: "PQ", HLG: "HLG"}
"""Transfer functions of high dynamic range, by code point in H.273."""
BT2020, P3 = 9, 12
TO_BT709: Final = {
    BT2020: np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]),
    P3: np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]),
}
"""Linear light of BT.2020 (ITU-R BT.2087, inverse of its matrix M2) and Display P3 to that of BT.709."""

_BT2020_LUMA: Final = np.array([[0.2627, 0.6780, 0.0593]])
_WHITE: Final = 203.0  # nits: diffuse white of HDR (ITU-R BT.2408), which becomes white
_HLG_PEAK: Final = 1000.0  # nits: of the display for which HLG has a gamma of 1.2
_KNEE: Final = 0.75  # of white; brighter light is compressed, so that highlights keep their shape
_BRIGHTEST: Final = 8.0  # times white; everything from here on has the largest code


def to_sdr(codes: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """The picture `codes` (H, W, 3), full range, in the colors of BT.709; H.273 declares `transfer` and `primaries`."""
    light = _light(transfer)[codes]
    if transfer == HLG:  # its codes tell the light of the scene (ITU-R BT.2100, table 5)
        gain = cv2.pow(cv2.transform(light, _BT2020_LUMA), 0.2) * (_HLG_PEAK / _WHITE)
        light = light * gain[..., None]
    converted = cv2.transform(light, TO_BT709.get(primaries, np.eye(3)))
    steps = np.sqrt(np.clip(converted / _BRIGHTEST, 0, 1)) * 65_535
    return np.asarray(_codes()[steps.astype(np.uint16)])


@cache
def _light(transfer: int) -> NDArray[np.float32]:
    """(65536,): light of each code in multiples of white; the light of the scene for HLG."""
    codes = np.linspace(0, 1, 65_536)
    if transfer == PQ:  # SMPTE ST 2084
        power = codes ** (1 / 78.84375)
        nits = 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        return (nits / _WHITE).astype(np.float32)
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return scene.astype(np.float32)


@cache
def _codes() -> NDArray[np.uint8]:
    """(65536,): the code of BT.1886 for the square root of light."""
    light = _BRIGHTEST * np.linspace(0, 1, 65_536) ** 2
    compressed = 1 - (1 - _KNEE) * np.exp((_KNEE - light) / (1 - _KNEE))
    return np.round(255 * np.where(light < _KNEE, light, compressed) ** (1 / 2.4)).astype(np.uint8)
