"""Small films and sounds written by PyAV alone, so that reading is tested independently of writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

ENCODERS: Mapping[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("libx264", "yuv420p", {"crf": "4"}),
    ".mov": ("libx264", "yuv420p", {"crf": "4"}),
    ".mkv": ("libx264", "yuv420p", {"crf": "4"}),
    ".webm": ("libvpx-vp9", "yuv420p", {"crf": "4", "deadline": "realtime"}),
    ".avi": ("mpeg4", "yuv420p", {"b": "20000000", "qmin": "1"}),
    ".ts": ("libx264", "yuv420p", {"crf": "4"}),
    ".flv": ("libx264", "yuv420p", {"crf": "4"}),
    ".h264": ("libx264", "yuv420p", {"crf": "4"}),
    ".mpg": ("mpeg2video", "yuv420p", {"b": "2000000"}),
    ".gif": ("gif", "rgb8", {}),
    ".png": ("png", "rgb24", {}),
    ".mjpeg": ("mjpeg", "yuvj444p", {"qmin": "1", "qmax": "1"}),
    ".jpg": ("mjpeg", "yuvj444p", {"qscale": "1"}),
    ".webp": ("libwebp", "yuv420p", {"lossless": "1"}),
    ".exr": ("exr", "gbrpf32le", {}),
    ".bmp": ("bmp", "bgr24", {}),
}


def picture(width: int, height: int, level: int = 128) -> NDArray[np.uint8]:
    """Return smooth colors of the whole range, different in every corner, with a level that identifies the frame."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    image = np.stack([40 + 170 * x, 40 + 170 * y, level + 60 * (1 - x) * y - 30], axis=-1)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def pictures(count: int, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    return [picture(width, height, 60 + 130 * index // max(1, count - 1)) for index in range(count)]


def snow(count: int, width: int = 48, height: int = 32) -> list[NDArray[np.uint8]]:
    """Return pictures of noise, so that each takes some kilobytes, like those of a real film."""
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8))


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """The greatest difference of two images of the same shape."""
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def film(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    rate: Fraction | int = 25,
    *,
    codec: str | None = None,
    times: Sequence[float] | None = None,
    matrix: Sequence[int] | None = None,
    pixel_format: str | None = None,
    tags: tuple[int, int] | None = None,
    options: dict[str, str] | None = None,
    audio: NDArray[np.float32] | None = None,
    audio_start: float = 0.0,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write `images` at `rate` or at `times`, with a display matrix and (range, matrix) color tags if given."""
    usual_codec, default_format, default_options = ENCODERS[path.suffix]
    codec = codec or usual_codec
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=default_options | (options or {}))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format or default_format
        tick = Fraction(1, 90_000) if times is not None else 1 / Fraction(rate)
        stream.codec_context.time_base = tick
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if tags is not None:
            stream.codec_context.color_range, stream.codec_context.colorspace = tags
        sound: Any = None if audio is None else container.add_stream("aac", rate=16000, layout="mono")
        for index, image in enumerate(images):
            frame = _frame(image, stream.pix_fmt, tags)
            frame.pts = index if times is None else round(times[index] / tick)
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            chunk = av.AudioFrame.from_ndarray(audio[None].copy(), format="fltp", layout="mono")
            chunk.sample_rate, chunk.pts = 16000, round(audio_start * 16000)
            chunk.time_base = Fraction(1, 16000)
            container.mux(sound.encode(chunk))
            container.mux(sound.encode(None))
    return path


def with_repeats(path: Path, images: Sequence[NDArray[np.uint8]], repeated: Sequence[int]) -> Path:
    """Write a MOV of PNGs in which the frames numbered `repeated` are empty: the picture before them is repeated."""
    film(path, images, codec="png", pixel_format="rgb24")
    data = bytearray(path.read_bytes())
    at = data.index(b"stsz") + 12
    count = int.from_bytes(data[at : at + 4], "big")
    sizes = np.frombuffer(data, ">u4", count, at + 4).copy()
    for number in repeated:
        before = max(index for index in range(number) if sizes[index])
        sizes[before] += sizes[number]  # its bytes remain after the end of the PNG before
        sizes[number] = 0
    data[at + 4 : at + 4 + 4 * count] = sizes.tobytes()
    path.write_bytes(data)
    return path


def woven(count: int, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    """Return interlaced frames of a bright bar that moves 4 pixels a field on a dark background, top field first."""

    def field(number: int) -> NDArray[np.uint8]:
        image = np.full((height, width, 3), 40, np.uint8)
        image[:, 4 * number : 4 * number + 12] = 210
        return image

    frames = [field(2 * number) for number in range(count)]
    for number, frame in enumerate(frames):
        frame[1::2] = field(2 * number + 1)[1::2]
    return frames


def joined(path: Path, parts: Sequence[Path]) -> Path:
    """Join films of raw H.264 without B-frames into one, at 25 frames a second, whatever their sizes."""
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(raw)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.pts = packet.dts = index
            packet.time_base, packet.stream = Fraction(1, 25), stream
            target.mux(packet)
    return path


def _frame(image: NDArray[np.uint8], pixel_format: str, tags: tuple[int, int] | None) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    if tags is None:
        return frame.reformat(format=pixel_format)
    if image.dtype == np.uint8 and pixel_format != "yuv444p":
        raise ValueError("tagged films are made from planes, with chroma at every pixel")
    planes = np.stack(rgb_to_yuv(image, *tags))
    return av.VideoFrame.from_ndarray(planes, format="yuv444p")


LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def rgb_to_yuv(image: NDArray[np.uint8], color_range: int, matrix: int) -> list[NDArray[np.uint8]]:
    """ITU-T H.273, equations 38 to 43: the definition, against which libav's conversion is checked."""
    red_weight, blue_weight = LUMA[matrix]
    red, green, blue = np.moveaxis(image / 255.0, -1, 0)
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    chroma = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    if color_range == 2:
        values = [255 * luma, *(255 * c + 128 for c in chroma)]
    else:
        values = [219 * luma + 16, *(224 * c + 128 for c in chroma)]
    return [np.clip(np.round(v), 0, 255).astype(np.uint8) for v in values]


def sound(
    path: Path,
    wave: NDArray[np.float32],
    rate: int,
    codec: str = "pcm_s16le",
    layout: str = "mono",
    cover: NDArray[np.uint8] | None = None,
) -> Path:
    """Write (channels, n), with a cover picture if given."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        image: Any = None
        if cover is not None:
            image = container.add_stream("png", rate=1)
            image.height, image.width = cover.shape[:2]
            image.pix_fmt = "rgb24"
            image.disposition = av.stream.Disposition.attached_pic
            container.mux(image.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
        interleaved = np.ascontiguousarray(wave.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def with_empty_sound(film: Path, path: Path) -> Path:
    """Write the picture of a film beside a sound stream that holds nothing."""
    # MP4 leaves out a stream without samples, unless the header is written before them.
    options = {"movflags": "empty_moov+frag_keyframe+default_base_moof"} if path.suffix == ".mp4" else {}
    with av.open(str(film)) as source, av.open(str(path), "w", options=options) as container:
        picture: Any = source.streams.video[0]
        copied: Any = container.add_stream_from_template(picture)
        nothing: Any = container.add_stream("aac", rate=44_100, layout="mono")
        nothing.codec_context.open()
        for packet in source.demux(picture):
            if packet.dts is not None:
                packet.stream = copied
                container.mux(packet)
    return path


def click(seconds: float, length: float, rate: int) -> NDArray[np.float32]:
    """Return (n,) silence with a short tone burst whose loudest point is at `seconds`."""
    time = np.arange(round(length * rate)) / rate - seconds
    envelope = np.exp(-((time / 0.002) ** 2))
    return (0.8 * envelope * np.cos(2 * np.pi * 1000 * time)).astype(np.float32)


def loudest(wave: NDArray[np.float32], rate: int) -> float:
    """Return the time in seconds of the middle of the loudest burst."""
    energy = np.convolve(np.square(wave.astype(np.float64)), np.hanning(round(0.01 * rate) | 1), "same")
    return float(np.argmax(energy)) / rate


def with_sounds(
    path: Path, languages: Sequence[str], default: int = 0, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a film with a sound in each of the declared `languages`, of which one is the default."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sounds: list[Any] = [container.add_stream("aac", rate=16_000, layout="mono") for _ in languages]
        for number, language in enumerate(languages):
            sounds[number].metadata["language"] = language
            sounds[number].disposition = Disposition.default if number == default else Disposition(0)
        for image in pictures(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
        for stream in sounds:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path
