"""What libav attaches to a frame beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from av.filter import Graph

if TYPE_CHECKING:
    from av.buffer import Buffer
    from av.sidedata.sidedata import Type
    from av.video.frame import VideoFrame

_ICC_PROFILE: Final = 15
_KNOWN: Final = 28  # kinds that PyAV has names for; one that it has none for hides all others
_NEWEST: Final = 40


def side_data_of(frame: VideoFrame) -> Mapping[Type, Buffer]:
    """Side data by type, without color profiles.

    PyAV frees the name of a profile that still belongs to libav, which ends the process (AVFrameSideData.metadata).
    Profiles are therefore taken off, by libav itself, before PyAV may look.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    filters = [graph.add("sidedata", f"mode=delete:type={kind}") for kind in (_ICC_PROFILE, *range(_KNOWN, _NEWEST))]
    graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return cast("Mapping[Type, Buffer]", graph.vpull().side_data)
