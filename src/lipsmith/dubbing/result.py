"""The second pass: decode again, draw, paste and encode, a few frames at a time."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.faces import FaceTrack
from lipsmith.dubbing.mouth import Performance, heard
from lipsmith.dubbing.paste.composite import Compositor
from lipsmith.dubbing.prefetch import AHEAD, ahead
from lipsmith.dubbing.provenance import metadata
from lipsmith.dubbing.source import Source
from lipsmith.dubbing.store import CropStore
from lipsmith.dubbing.timeline import Timeline
from lipsmith.face import MOST_FACES
from lipsmith.face.crop import crop_image, still_points
from lipsmith.files import refuse_existing, refuse_input
from lipsmith.inference.backend import Backend
from lipsmith.inference.render import Person, encode_person, render
from lipsmith.media import Frame, VideoWriter
from lipsmith.speech.recording import Speech

Progress = Callable[[int, int], None]

BATCH: Final = 2


class People:
    """Encoded persons, as many as one shot may show: a film with many shots has more than memory should hold."""

    def __init__(self, backend: Backend, store: CropStore) -> None:
        self._backend, self._store = backend, store
        self._known: OrderedDict[int, Person] = OrderedDict()

    def __getitem__(self, track: FaceTrack) -> Person:
        if track.number not in self._known:
            crops = self._store.get(track.pool)
            self._known[track.number] = encode_person(
                self._backend, crops, track.pool_points, track.pool_still, track.lips
            )
        self._known.move_to_end(track.number)
        if len(self._known) > MOST_FACES:
            self._known.popitem(last=False)
        return self._known[track.number]


@dataclass(repr=False)
class Result:
    """A dubbed video that is made while it is asked for."""

    source: Source
    source_times: NDArray[np.float64]
    size: tuple[int, int]
    timeline: Timeline
    speech: Speech
    performances: list[Performance]
    backend: Backend
    people: People
    model: str

    def __repr__(self) -> str:
        return f"Result({self.source.footage.name!r}, {len(self)} frames, {self.speech.seconds:.2f} s)"

    def __len__(self) -> int:
        return len(self.timeline)

    def frames(self) -> Iterator[Frame]:
        """The frames, RGB `(H, W, 3)`, with their times in seconds from 0; the images are the caller's own."""
        for original, dubbed in self._pairs():
            yield replace(dubbed, image=original.copy()) if dubbed.image is original else dubbed

    def save(
        self,
        path: Path | str,
        overwrite: bool = False,
        side_by_side: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Write the film with its sound to `path`; `side_by_side` puts the source to its left.

        Raises `UsageError` where `path` is taken, is the footage or the speech itself or cannot be written,
        `LipsmithError` where the disk is full. What was begun is removed on any error and on interruption.
        """
        path = Path(path)
        refuse_existing(path, overwrite)
        info = self.source.footage.info
        refuse_input(path, info.path if info else None, self.speech.file)
        width, height = self.size
        with VideoWriter(
            path,
            2 * width if side_by_side else width,
            height,
            self.source.footage.rate,
            audio=self.speech.samples,
            audio_rate=self.speech.rate,
            audio_source=self.speech.file,
            metadata=metadata(self.model),
            like=self.source.footage.info,
            end=self.timeline.end,
        ) as writer:
            for original, dubbed in ahead(self._pairs(), AHEAD):
                image = np.hstack([original, dubbed.image]) if side_by_side else dubbed.image
                writer.write(image, dubbed.time)
                if progress is not None:
                    progress(dubbed.index + 1, len(self))
        return path

    def _pairs(self) -> Iterator[tuple[NDArray[np.uint8], Frame]]:
        """Source image and dubbed frame, one by one."""
        compositors: defaultdict[int, Compositor] = defaultdict(Compositor)
        # Closed by name: who keeps an error keeps its trace, and with that a thread that waits with the film open.
        with closing(ahead(self.source.show(self.timeline.index, self.source_times), AHEAD)) as images:
            for begin in range(0, len(self), BATCH):
                originals = [next(images) for _ in range(begin, min(begin + BATCH, len(self)))]
                for number, (original, dubbed) in enumerate(
                    zip(originals, self._dubbed(begin, originals, compositors), strict=True), start=begin
                ):
                    yield original, Frame(dubbed, float(self.timeline.times[number]), number)

    def _dubbed(
        self, begin: int, originals: list[NDArray[np.uint8]], compositors: Mapping[int, Compositor]
    ) -> list[NDArray[np.uint8]]:
        """The images from output frame `begin` on with every face's new mouth; each face has its own compositor."""
        results = list(originals)
        for performance in self.performances:
            ends = np.searchsorted(performance.frames, [begin, begin + len(originals)])
            if ends[0] < ends[1]:
                compositor = compositors[performance.track.number]
                self._dub_face(performance, slice(*ends.tolist()), begin, originals, results, compositor)
        return results

    def _dub_face(
        self,
        performance: Performance,
        part: slice,
        begin: int,
        originals: list[NDArray[np.uint8]],
        results: list[NDArray[np.uint8]],
        compositor: Compositor,
    ) -> None:
        track, rows = performance.track, performance.rows[part]
        places = (performance.frames[part] - begin).tolist()
        person = self.people[track]
        side = person.images.shape[1]
        targets = np.stack(
            [crop_image(originals[p], track.transforms[r], side) for p, r in zip(places, rows, strict=True)]
        )
        drawn = render(
            self.backend,
            person,
            targets,
            performance.points[part],
            still_points(track.transforms[rows]),
            performance.sketches(part, side),
            heard(self.speech, performance, self.timeline, part),
            performance.references[part],
        )
        for at, (place, row) in enumerate(zip(places, rows, strict=True)):
            number = part.start + at
            if performance.begins[number] == number:
                compositor.restart()
            results[place] = compositor.paste(
                results[place],
                drawn[at],
                targets[at],
                track.transforms[row],
                track.points[row],
                performance.points[number],
                float(track.opacity[row]),
            )
