"""Which of a shot's faces is its largest, for dubbing and for measuring alike."""

from __future__ import annotations


def prominence(width: float, frames: int) -> float:
    """How much a face is seen of, in pixels: its median `width` squared, in each of the `frames` it is seen in."""
    return width**2 * frames
