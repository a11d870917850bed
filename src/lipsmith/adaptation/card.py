"""The card of an adapted model: what was learned, from how much film, and what it gained on frames held back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Final

_CARD: Final = Template("""# Model card: $name

The model `$base`, adapted to one person with `lipsmith adapt`. Use it to dub films of this person only; for others,
use `$base`, whose card is below.

## Adaptation

- Film: $films; $seconds seconds of the face are used, and the last tenth of each shot was held back.
- Training: $minutes minutes, $steps steps of the renderer$part. $speech
- $verdict

| held-back frames | before | after |
|---|---|---|
$figures

`face psnr` is in dB over the rendered part of the face, `sharpness` relative to the film, `vgg` a distance of features
(lower is better), and `score` combines the three; the best score decides which renderer is written. `lip lmd` is the
distance of lips predicted from the film's own speech, in pixels of a crop of 128, and decides about the landmark
generator; `opening r` is the correlation of their opening with the true one.

The person shown must consent to the adaptation and to every dub made with it. The model can draw this person's face:
keep it as private as the film.

---

$card""")
_SHOWN: Final = ("face_psnr", "psnr", "sharpness", "vgg", "score")
_SHOWN_OF_MOUTH: Final = ("lip_lmd", "opening_r")
_LEARNED: Final = "The landmark generator, but for its speech encoder, was trained before, on the speech of the film."
_GAINLESS: Final = "The landmark generator is unchanged: its training on the speech of the film gained nothing."
_UNCHANGED: Final = "The landmark generator is unchanged: the sound is not this person's speech, or there is none."


@dataclass(frozen=True)
class Adaptation:
    """The result of an adaptation."""

    folder: Path
    """The model folder."""
    seconds: float
    """Seconds of the face in the films, including those held back."""
    minutes: float
    """Minutes of training."""
    steps: int
    """Steps of training."""
    before: Mapping[str, float]
    """Figures on the held-back frames before the training."""
    after: Mapping[str, float]
    """Figures of the weights that were written; those of `before` if nothing was better."""
    mouth_before: Mapping[str, float] = field(default_factory=dict)
    """Figures of the landmark generator before its training; none if the films teach nothing about speech."""
    mouth_after: Mapping[str, float] = field(default_factory=dict)
    """Figures of the landmark generator that was written; none if `mouth_before` has none."""

    @property
    def draws_better(self) -> bool:
        """Whether the renderer that was written differs from the start."""
        return self.after["step"] > 0

    @property
    def speaks_better(self) -> bool:
        """Whether the landmark generator that was written differs from the start."""
        return self.mouth_after.get("step", 0) > 0

    @property
    def is_better(self) -> bool:
        """Whether the weights that were written differ from the start."""
        return self.draws_better or self.speaks_better

    @property
    def verdict(self) -> str:
        """One sentence on what it gained."""
        if not self.is_better:
            return "The training gained nothing on the held-back frames, so the weights are those of the start."
        gains = []
        if self.draws_better:
            gains.append(self._of_picture)
        if self.speaks_better:
            gain = self.mouth_before["lip_lmd"] - self.mouth_after["lip_lmd"]
            gains.append(f"predicted lips came {gain:.2f} pixels nearer at step {self.mouth_after['step']:.0f}")
        rest = "" if self.draws_better else "; the renderer is that of the start"
        return f"On the held-back frames, {', and '.join(gains)}{rest}."

    @property
    def _of_picture(self) -> str:
        """What the renderer gained. The score selects it, which may rise by detail while the PSNR falls."""
        step = f"at step {self.after['step']:.0f}"
        psnr, score = (self.after[name] - self.before[name] for name in ("face_psnr", "score"))
        if psnr >= 0:
            return f"the PSNR of the face rose by {psnr:.2f} dB {step}"
        return f"the score of the face rose by {score:.2f} {step}, though its PSNR fell by {-psnr:.2f} dB"


def adaptation_card(found: Adaptation, base: str, films: list[Path], part: str | None, card: str) -> str:
    """Markdown; `part`: the part of the renderer that was trained, None for all; `card`: of the model `base`."""
    rows = [(figure, found.before[figure], found.after[figure]) for figure in _SHOWN if figure in found.after]
    shown = [figure for figure in _SHOWN_OF_MOUTH if figure in found.mouth_after]
    mouth = [(figure, found.mouth_before[figure], found.mouth_after[figure]) for figure in shown]
    return _CARD.substitute(
        name=found.folder.name,
        base=base,
        films=", ".join(film.name for film in films),
        seconds=f"{found.seconds:.0f}",
        minutes=f"{found.minutes:.1f}",
        steps=found.steps,
        part=f" ({part} only)" if part else "",
        speech=_learned(found),
        verdict=found.verdict,
        figures="\n".join(
            f"| {name.replace('_', ' ')} | {left:.4g} | {right:.4g} |" for name, left, right in rows + mouth
        ),
        card=card,
    )


def _learned(found: Adaptation) -> str:
    """One sentence on the landmark generator."""
    if not found.mouth_after:
        return _UNCHANGED
    return _LEARNED if found.speaks_better else _GAINLESS
