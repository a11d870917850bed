"""What a copy of a film's frames lacks, in sentences for whoever asked for the copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lipsmith.media.color import HDR_TRANSFERS, is_transparent
from lipsmith.media.container import pictures_in
from lipsmith.media.keeping import left_out

if TYPE_CHECKING:
    from av.container.input import InputContainer
    from av.video.frame import VideoFrame

WHITE = "{path}: what is transparent becomes white, because a film keeps no transparency."


def remarks_on(path: Path, container: InputContainer, first: VideoFrame) -> tuple[str, ...]:
    """Sentences about a film, of which `first` is a frame as decoded."""
    remarks = []
    pictures = pictures_in(container)
    if len(pictures) > 1:
        chosen = pictures[0]
        size = f"{chosen.codec_context.width} x {chosen.codec_context.height}"
        remarks.append(
            f"{path} holds {len(pictures)} pictures; stream {chosen.index}, {size}, is taken, as players do."
        )
    if first.interlaced_frame:
        remarks.append(f"{path} is interlaced; it is deinterlaced, and the result is progressive.")
    if first.color_trc in HDR_TRANSFERS:
        name = HDR_TRANSFERS[first.color_trc]
        remarks.append(f"{path} is HDR ({name}); its tones are mapped, and the result is SDR (BT.709, 8 bits).")
    elif any(component.bits > 8 for component in first.format.components):
        remarks.append(f"{path} has more than 8 bits a channel; the result has 8, as every player knows them.")
    if is_transparent(first):
        remarks.append(WHITE.format(path=path))
    return (*remarks, *left_out(path, container, pictures[0]))
