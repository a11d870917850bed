"""Live speech into prepared footage: what the dub computes over a whole recording, here as the sound comes."""

from __future__ import annotations

from lipsmith.live.session import Live, LiveFrame

__all__ = ["Live", "LiveFrame"]
