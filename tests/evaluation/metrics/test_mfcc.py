"""MFCC of silence, of a constant, of a tone and of a rising tone."""

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


def test_all_coefficients_equal_those_of_the_package_that_the_official_judge_was_trained_with() -> None:
    """Printed by `mfcc(tone, 16000)` of python_speech_features 0.6; the last step lies partly after the sound."""
    seconds = np.arange(8100) / 16000
    found = mfcc(8000 * np.sin(2 * np.pi * (100 * seconds + 3000 * seconds**2)))
    expected = [
        [17.419, 29.088, 21.623, 15.842, 9.247, 1.585, -4.913, -11.178, -15.344, -18.146, -18.103, -17.266, -15.117],
        [21.679, 5.127, -37.419, -5.637, 33.945, 7.594, -31.339, -9.502, 27.511, 10.216, -21.267, -9.593, 14.739],
        [22.378, -14.936, -19.519, 33.016, -22.55, -9.676, 29.884, -23.526, -4.982, 22.769, -22.098, 0.105, 14.395],
    ]
    assert found.shape == (50, 13)
    np.testing.assert_allclose(found[[0, 25, -1]], expected, atol=1e-3)
