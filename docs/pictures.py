"""Draw the pictures of how-it-works.md and guide.md from the demo: python docs/pictures.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from strips import strips

from lipsmith import Clip, Dubber
from lipsmith.dubbing.draw import draw_frame
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.paste.composite import Compositor, soft_mask
from lipsmith.face import FaceTracker
from lipsmith.face.crop import apply, crop_image, invert, still_points
from lipsmith.face.landmarks import Floats
from lipsmith.inference.render import render, warp
from lipsmith.media import read_frames
from lipsmith.speech.mel import mel_windows
from lipsmith.speech.recording import Speech, load_speech

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from caption_samples import boxed  # noqa: E402
from objects import with_hand  # noqa: E402

ACTOR, SPEECH, PICTURES = ROOT / "demo" / "actor.mp4", ROOT / "demo" / "speech.wav", ROOT / "docs" / "pictures"
PORTRAIT = ROOT / "demo" / "face.png"
SAID = (19, 63, 22, 134)
"""Frames of the dubbed portrait: the m of "film", the p of "Lips", and the vowels of "now" and "stays"."""
SHUT = slice(107, 117)
"""Frames of the actor's film in which the mouth is shut."""
BEHIND_HAND = (22, 26, 29)
"""Frames of the actor's film in which a hand passes before the mouth."""
CAPTIONED = (10, 20, 29)
"""Frames of the actor's film with a caption."""
CAPTION = (222, 204)
"""Column of the caption's middle and row of its baseline."""
HEIGHT = 256
PLACE = 131
SIDE = 128

Image = NDArray[np.uint8]


def enlarged(picture: Image, height: int = HEIGHT) -> Image:
    width = round(picture.shape[1] * height / picture.shape[0])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def row(*pictures: Image) -> Image:
    """Pictures side by side with a white gap between them."""
    gap = np.full((HEIGHT, 8, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, enlarged(picture))]
    return np.concatenate(parts[1:], axis=1)


def colored(values: NDArray[np.floating]) -> Image:
    """Values `(H, W)` in [0, 1] as RGB."""
    shaded = cv2.applyColorMap((255 * np.clip(values, 0, 1)).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(shaded[..., ::-1])


def tracked(frame: Image, transform: NDArray[np.float64]) -> Image:
    """The frame with its mesh and the outline of its crop, next to that crop."""
    drawn = enlarged(frame, 2 * HEIGHT)
    scale = drawn.shape[0] / frame.shape[0]
    for x, y in FaceTracker().track(frame).faces[0].mesh * scale:
        cv2.circle(drawn, (round(x), round(y)), 1, (255, 255, 255), -1, cv2.LINE_AA)
    back = invert(transform)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ back[:, :2].T + back[:, 2]
    cv2.polylines(drawn, [np.round(corners * scale).astype(np.int32)], True, (255, 210, 0), 2, cv2.LINE_AA)
    return row(drawn, crop_image(frame, transform, SIDE))


def heard(mouth: MouthTrack, speech: Speech) -> Image:
    """The mel spectrogram around a moment, and the sketches predicted from it."""
    places = range(PLACE, PLACE + 24, 6)
    mel = np.concatenate(list(mel_windows(speech.mel, mouth.times[PLACE : PLACE + 24 : 5])), 1)
    spectrogram = cv2.resize(colored(mel[::-1] / 8 + 0.5), (HEIGHT * 3 // 2, HEIGHT), interpolation=cv2.INTER_NEAREST)
    sketches = [255 - sketched(mouth, place)[0, 2] for place in places]
    return row(np.asarray(spectrogram, np.uint8), *(cv2.cvtColor(sketch, cv2.COLOR_GRAY2RGB) for sketch in sketches))


def sketched(mouth: MouthTrack, place: int) -> Image:
    """The sketches `(1, 5, S, S)` of a place and its neighbors."""
    part = slice(place, place + 1)
    return mouth.sketches.around(np.arange(place, place + 1), mouth.begins[part], mouth.ends[part], SIDE)


def aligned(clip: Clip, mouth: MouthTrack, target: Image) -> tuple[list[Image], Image]:
    """Three references of a frame, and the mean of all its references warped onto its landmarks."""
    encoded, part = clip.encoded[mouth.face].encoded, slice(PLACE, PLACE + 1)
    (chosen,) = mouth.references[part]
    drawing = render(
        clip.encoded.backend,
        encoded,
        target[None],
        mouth.points[part],
        still_points(mouth.face.transforms[mouth.rows[part]]),
        sketched(mouth, PLACE),
        mouth.heard(mouth.times[part]),
        chosen[None],
    )
    mean = shown(warp(encoded, chosen[None], drawing.placed).pictures[0].mean(0))
    whole = target.copy()
    whole[SIDE // 2 :] = mean[len(mean) - SIDE // 2 :]
    return [shown(encoded.sharp[rank]) for rank in chosen[[0, len(chosen) // 2, -1]]], whole


def shown(picture: NDArray[np.float32]) -> Image:
    """A picture with values about [0, 1] as RGB."""
    return np.asarray(np.clip(255 * picture + 0.5, 0, 255), np.uint8)


def hidden(target: Image) -> Image:
    """The part of a target that the networks receive."""
    shown = target.copy()
    shown[SIDE // 2 :] = 128
    return shown


def said(dubber: Dubber) -> Image:
    """The face of the portrait at the frames `SAID`."""
    frames = [frame.image for frame in dubber.prepare(PORTRAIT).dub(SPEECH).frames()]
    return row(*(frames[number][85:190, 70:185] for number in SAID))


def silent(dubber: Dubber) -> Image:
    """The face in a film of the frames `SHUT`, as filmed and as dubbed at the frames `SAID`."""
    film = [np.asarray(frame.image) for frame in read_frames(ACTOR)][SHUT]
    frames = [frame.image for frame in dubber.prepare(film).dub(SPEECH).frames()]
    return row(*(frame[110:220, 160:290] for frame in (film[0], *(frames[number] for number in SAID))))


def behind(dubber: Dubber, thing: Callable[[Image, Floats, int], Image], shown: Sequence[int]) -> Image:
    """The face at the frames `shown`, before which a thing is drawn: as filmed, and as dubbed.

    `thing`: of frame, face and number of the frame.
    """
    film = [np.asarray(frame.image) for frame in read_frames(ACTOR, end=1.6)]
    face = dubber.prepare(film).chosen[0]
    points = apply(invert(face.transforms), face.points[:])
    covered = [thing(image, of_face, number) for number, (image, of_face) in enumerate(zip(film, points, strict=True))]
    frames = [frame.image for frame in dubber.prepare(covered).dub(SPEECH).frames()]
    return row(*(side[number][100:230, 160:290] for number in shown for side in (covered, frames)))


def hand(image: Image, points: Floats, number: int) -> Image:
    """A hand that passes from the right to the left."""
    return with_hand(image, points, (4.2 - 0.3 * (number - 12), 0.3))[0] if 12 <= number < 40 else image


def caption(image: Image, _: Floats, number: int) -> Image:
    """Words in a box over the chin, others every eight frames."""
    words = ("what", "you", "mean", "to say", "now")[number // 8 % 5]
    return boxed(image, words, CAPTION)[0]


def main() -> None:
    dubber = Dubber.from_pretrained("fast", "cpu")
    clip, speech = dubber.prepare(ACTOR, start=3.91, end=6.07), load_speech(SPEECH)
    result = clip.dub(speech)
    (mouth,) = result.mouths
    frame = [np.asarray(frame.image) for frame in read_frames(ACTOR, start=3.91, end=6.07)][
        int(result.timeline.index[PLACE])
    ]
    face, at = mouth.face, int(mouth.rows[PLACE])
    number = int(mouth.frames[PLACE])
    (drawn,) = draw_frame(clip.encoded, [mouth], number, frame).faces
    assert drawn is not None
    references, whole = aligned(clip, mouth, drawn.filmed)
    mask = soft_mask(face.points[at], mouth.points[PLACE], SIDE)
    over = (drawn.filmed * (1 - 0.6 * mask[..., None]) + 0.6 * 255 * mask[..., None]).astype(np.uint8)
    pasted = Compositor().paste(
        frame,
        drawn.image,
        drawn.filmed,
        face.transforms[at],
        face.points[at],
        mouth.points[PLACE],
        opacity=float(face.opacity[at]),
        detail=drawn.detail,
    )
    PICTURES.mkdir(exist_ok=True)
    for name, picture in {
        "track": tracked(frame, face.transforms[at]),
        "speak": heard(mouth, speech),
        "align": row(*references, whole),
        "render": row(hidden(drawn.filmed), drawn.image, drawn.filmed),
        "paste": row(over, frame, np.asarray(pasted)),
        "portrait": said(dubber),
        "silent": silent(dubber),
        "hand": behind(dubber, hand, BEHIND_HAND),
        "caption": behind(dubber, caption, CAPTIONED),
        **dict(strips(dubber)),
    }.items():
        cv2.imwrite(str(PICTURES / f"{name}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


if __name__ == "__main__":
    main()
