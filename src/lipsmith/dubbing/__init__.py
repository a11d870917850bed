"""A video and speech in, a video that says the speech out.

    dubber = Dubber.from_pretrained("fast")
    clip = dubber.prepare("interview.mp4")
    clip.dub("speech.wav").save("dubbed.mp4")

Two passes over the footage, both of bounded memory: `prepare` follows the faces and keeps their geometry and a few
reference crops; `Result` decodes again, draws, pastes and encodes batch by batch.
"""

from __future__ import annotations

from lipsmith.dubbing.clip import Clip
from lipsmith.dubbing.dubber import Dubber, find_faces
from lipsmith.dubbing.faces import FaceTrack
from lipsmith.dubbing.result import Result

__all__ = ["Clip", "Dubber", "FaceTrack", "Result", "find_faces"]
