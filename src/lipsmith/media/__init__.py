"""Reads films, animations and still pictures as frames with exact times, and writes frames into films.

PyAV decodes and encodes in generators that hold a few frames, so memory does not depend on the film's length. The sound
of a file is read here too, because its sample 0 is aligned with the first frame.
"""

from __future__ import annotations

from lipsmith.media.color import Picture
from lipsmith.media.probing import VideoInfo, probe
from lipsmith.media.reading import Frame, read_frames
from lipsmith.media.sound import Sound, open_sound
from lipsmith.media.writing import VideoWriter

__all__ = ["Frame", "Picture", "Sound", "VideoInfo", "VideoWriter", "open_sound", "probe", "read_frames"]
