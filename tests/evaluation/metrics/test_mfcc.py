"""MFCC of silence, of a constant and of a tone."""

from __future__ import annotations

import numpy as np

from lipsmith.evaluation.metrics.mfcc import mfcc


def test_mfcc_of_silence_and_of_a_tone() -> None:
    """100 steps per second; the zeroth coefficient is loudness: ten times the amplitude adds 2 ln 10."""
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    quiet, loud = mfcc(1000 * tone), mfcc(10000 * tone)
    assert quiet.shape == (99, 13)
    np.testing.assert_allclose((loud - quiet)[5:-5, 0], 2 * np.log(10), atol=1e-6)
    np.testing.assert_allclose(loud[5:-5, 1:], quiet[5:-5, 1:], atol=1e-6)
    assert np.isfinite(mfcc(np.zeros(16000))).all()


def test_the_energy_of_a_constant_signal_by_hand() -> None:
    """Emphasis leaves 0.03 of it: 400 samples of 30 have the sum of powers (512 400 + 400^2) / 2 30^2 / 512."""
    np.testing.assert_allclose(mfcc(np.full(16000, 1000.0))[5, 0], np.log((512 * 400 + 400**2) / 2 * 30**2 / 512))
