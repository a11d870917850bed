"""Live dubbing: speech is pushed while it arrives, and frames of prepared footage come out in real time."""

from __future__ import annotations

from lipsmith.live.session import Live, LiveFrame

__all__ = ["Live", "LiveFrame"]
