import errno
import gc
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dub_samples import plain_face
from lipsmith.dubbing.scan import ArrayStore
from lipsmith.errors import LipsmithError, UsageError
from lipsmith.face.look import FADE, opacities
from lipsmith.face.stretches import Shot


def test_rows_are_found_for_frames_in_any_order() -> None:
    seen = replace(plain_face(1, size=50, x=300), frames=np.array([3, 4, 7]))
    assert seen.rows(np.array([8, 7, 6, 4, 3, 0])).tolist() == [-1, 2, -1, 1, 0, -1]


def shot(first: int, last: int, clear: tuple[int, int] | None = None) -> Shot:
    return Shot(0, first, last, clear or (first, last), [])


def test_opacity_fades_where_tracking_starts_and_stops_within_a_shot() -> None:
    frames = np.array([*range(2, 12), *range(20, 30)])
    opacity = opacities(frames, np.ones(20, np.float32), shot(2, 35))
    assert opacity[0] == 1
    assert opacity[9] == pytest.approx(1 / (FADE + 1))
    assert opacity[10] == pytest.approx(1 / (FADE + 1))
    assert opacity[15] == 1
    assert opacity[19] == pytest.approx(1 / (FADE + 1))
    assert (opacities(np.arange(5), np.ones(5, np.float32), shot(0, 4)) == 1).all()


def test_a_mouth_in_a_dissolve_is_as_opaque_as_its_shot() -> None:
    opacity = opacities(np.arange(20, 40), np.ones(20, np.float32), shot(20, 39, clear=(25, 34)))
    assert opacity == pytest.approx(opacity[::-1])
    assert 0.5 < opacity[0] < 0.6
    assert (np.diff(opacity[:6]) > 0).all()
    assert (opacity[5:15] == 1).all()


def test_a_hidden_face_is_not_rendered() -> None:
    scores = np.repeat(np.array([1, 0.5, 1], np.float32), 10)
    opacity = opacities(np.arange(30), scores, shot(0, 29))
    assert opacity[14] == 0
    assert opacity[0] == opacity[29] == 1
    assert np.abs(np.diff(opacity)).max() < 0.5


def test_stored_arrays_are_read_unchanged_in_whole_and_in_part() -> None:
    store = ArrayStore()
    crops = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)
    points = np.random.default_rng(1).random((2000, 3, 2), np.float32)  # more than a page
    stored = [store.put(crops), store.put(points), store.put(crops[:, :2] // 2)]
    assert [len(array) for array in stored] == [2, 2000, 2]
    put: list[NDArray[Any]] = [crops, points, crops[:, :2] // 2]
    for array, expected in zip(stored, put, strict=True):
        assert np.asarray(array).dtype == expected.dtype
        assert (np.asarray(array) == expected).all()
    assert (stored[1][1999] == points[1999]).all()
    assert (stored[1][np.array([1500, 3]), :2] == points[[1500, 3], :2]).all()


def test_the_file_of_a_dropped_store_is_closed(recwarn: pytest.WarningsRecorder) -> None:
    store = ArrayStore()
    file, stored = store._file, store.put(np.ones((1, 2), np.float32))
    del store
    assert stored[0].tolist() == [1, 1]
    del stored
    assert file.closed
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]


def test_pickling_says_what_to_give_to_other_processes() -> None:
    with pytest.raises(UsageError, match=r"Clip\.save"):
        pickle.dumps(ArrayStore().put(np.ones(1, np.float32)))


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, offset: int, whence: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = ArrayStore()
    monkeypatch.setattr(store, "_file", Full())
    with pytest.raises(LipsmithError, match="TMPDIR"):
        store.put(np.zeros((1, 2, 2, 3), np.uint8))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_store_that_was_full_is_dropped_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda prefix: Path("/dev/full").open("r+b"))  # noqa: SIM115
    store = ArrayStore()
    with pytest.raises(LipsmithError, match="TMPDIR"):
        store.put(np.zeros((1, 2, 2, 3), np.uint8))
    del store
    gc.collect()
