import numpy as np
import pytest

from lipsmith.media.hdr import BT2020, HLG, PQ, to_sdr


def gray(signal: float, transfer: int) -> int:
    """The result of a gray of `signal`, from 0 to 1."""
    codes = np.full((2, 3, 3), round(65_535 * signal), np.uint16)
    result = to_sdr(codes, transfer, BT2020)
    assert result.shape == codes.shape
    assert np.ptp(result) <= 1
    return int(result[0, 0, 0])


@pytest.mark.parametrize(("signal", "nits"), [(0.0, 0), (0.15, 1), (0.3025, 10), (0.5081, 100)])
def test_pq_keeps_its_light_up_to_three_quarters_of_white(signal: float, nits: float) -> None:
    """Signals of ST 2084; BT.1886 has a gamma of 2.4."""
    assert gray(signal, PQ) == pytest.approx(255 * (nits / 203) ** (1 / 2.4), abs=1.5)


@pytest.mark.parametrize(("signal", "nits"), [(0.0, 0), (0.5, 1000 * (1 / 12) ** 1.2), (0.25, 1000 * (1 / 48) ** 1.2)])
def test_hlg_is_shown_as_on_a_display_of_1000_nits(signal: float, nits: float) -> None:
    assert gray(signal, HLG) == pytest.approx(255 * (nits / 203) ** (1 / 2.4), abs=1.5)


@pytest.mark.parametrize(("transfer", "signals"), [(PQ, (0.54, 0.58, 0.62, 0.66)), (HLG, (0.7, 0.75, 0.8, 0.85))])
def test_highlights_keep_their_shape(transfer: int, signals: tuple[float, ...]) -> None:
    """The second signal is diffuse white."""
    results = [gray(signal, transfer) for signal in signals]
    assert results[1] == pytest.approx(245, abs=1.5)
    assert np.diff(results).min() >= 1


def test_colors_of_a_wide_gamut_become_those_of_bt709() -> None:
    """Red of BT.709 at 100 nits has 62.74, 6.91 and 1.64 nits in BT.2020 (ITU-R BT.2087), in PQ these signals."""
    codes = np.round(65_535 * np.array([[[0.4600, 0.2704, 0.1791]]])).astype(np.uint16)
    red, green, blue = to_sdr(codes, PQ, BT2020)[0, 0].astype(int)
    assert red == pytest.approx(190, abs=2)
    assert max(green, blue) <= 12
