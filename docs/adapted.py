"""Draw the picture of recipes/adapt.md, of a model adapted to the demo's actor: python docs/adapted.py MODEL."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
from strips import DEMO, SPEECH, compared

from lipsmith import Dubber

ACTOR = DEMO / "actor.mp4"
PICTURE = Path(__file__).resolve().parent / "pictures" / "adapted.jpg"
MOMENTS = {'m of "film"': 0.76, 'vowel of "now"': 0.92, 'p of "Lips"': 2.64, 'vowel of "stays"': 5.36}


def main(model: str) -> None:
    """Dub the actor with the shipped model and with the adapted one, and draw both."""
    dubs = {
        name: Dubber.from_pretrained(of).prepare(ACTOR).dub(SPEECH)
        for name, of in (("before", "fast"), ("after", model))
    }
    picture = compared(ACTOR, dubs, MOMENTS)
    cv2.imwrite(str(PICTURE), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])


if __name__ == "__main__":
    main(sys.argv[1])
