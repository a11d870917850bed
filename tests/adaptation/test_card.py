"""What an adaptation says that it gained, of the renderer and of the landmark generator."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.adaptation.card import Adaptation, adaptation_card

DRAWS, SPEAKS = "the PSNR of the face rose by 1.50 dB at step 150", "predicted lips came 0.25 pixels nearer at step 50"
NOTHING = "gained nothing on the held-back frames, so the weights are those of the start."
LEARNED, GAINLESS = "was trained before, on the speech", "its training on the speech of the film gained nothing"


@pytest.mark.parametrize(
    ("step", "mouth_step", "verdict", "speech"),
    [
        (150, 50, f"{DRAWS}, and {SPEAKS}.", LEARNED),
        (150, 0, f"{DRAWS}.", GAINLESS),
        (0, 50, f"{SPEAKS}; the renderer is that of the start.", LEARNED),
        (0, 0, NOTHING, GAINLESS),
        (0, None, NOTHING, "the sound is not this person's speech, or there is none"),
    ],
)
def test_the_card_says_which_network_gained(step: int, mouth_step: int | None, verdict: str, speech: str) -> None:
    before, gain = {"face_psnr": 30.0, "score": 20.0}, 1.5 if step else 0.0
    after = {"face_psnr": 30.0 + gain, "score": 20.0 + gain, "step": step}
    mouth = (
        () if mouth_step is None else ({"lip_lmd": 1.5}, {"lip_lmd": 1.25 if mouth_step else 1.5, "step": mouth_step})
    )
    found = Adaptation(Path("anna"), 60.0, 9.5, 200, before, after, *mouth)
    assert found.is_better == bool(step or mouth_step)
    assert found.verdict.endswith(verdict)
    card = adaptation_card(found, "fast", [Path("anna.mp4")], None, "")
    assert verdict in card
    assert speech in card


def test_a_score_that_rises_while_the_psnr_falls_is_no_gain_of_psnr() -> None:
    before, after = {"face_psnr": 30.0, "score": 20.0}, {"face_psnr": 29.9, "score": 20.25, "step": 50}
    found = Adaptation(Path("anna"), 60.0, 9.5, 200, before, after)
    assert found.verdict == (
        "On the held-back frames, the score of the face rose by 0.25 at step 50, though its PSNR fell by 0.10 dB."
    )
