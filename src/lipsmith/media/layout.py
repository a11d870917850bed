"""Channel layouts, of which PyAV 18.1 frees some that still belong to libav."""

from __future__ import annotations

from ctypes import py_object, pythonapi
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from av.audio.stream import AudioStream


def layout_of(sound: AudioStream | AudioFrame) -> AudioLayout:
    """The layout of a stream or of a decoded frame; the only way by which either may be asked for it.

    A layout in an order of its own, as CAF, AIFF and QuickTime have them, holds a list that libav frees, and PyAV's
    object frees it once more, which ends the process. That object is kept forever: some hundred bytes.
    """
    layout = sound.layout
    if "channels (" in layout.name:
        pythonapi.Py_IncRef(py_object(layout))
    return layout
