"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

# Without compiled files, every worker and every process that a test starts would compile the same modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

# Pytest runs a worker on every core, and tiny networks are faster on one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Caching what operators return takes longer than the export of a tiny network gains from it.
os.environ.setdefault("TORCH_FAKE_TENSOR_DISPATCH_CACHE", "0")

# Tests must not depend on models or third-party weights that the user has installed.
os.environ["LIPSMITH_HOME"] = str(Path(__file__).with_name("nobodys_home"))

# A busy machine must not fail a test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because many tests wait for other processes."""
    return (os.cpu_count() or 1) + 1


# What takes longest begins first, so that no worker is left with it at the end.
LONGEST = (
    "cli/test_workflow.py",
    "serve/test_recovery.py",
    "serve/test_api.py",
    "serve/test_page.py",
    "docs/test_blocks.py",
    "data/test_prepare.py",
    "serve/test_hostile.py",
    "serve/test_live.py",
    "serve/test_live_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files; tests of a file keep their order."""
    tests = Path(__file__).parent
    ranks = {tests / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))


def pytest_collection_finish() -> None:
    """What is imported stays, so the garbage collector need not search it."""
    gc.collect()
    gc.freeze()


KNOWN: OrderedDict[tuple[tuple[int, ...], int], list[NDArray[np.float32]]] = OrderedDict()
"""Outputs of the face networks by their input."""
REMEMBERED = 4000

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="module", autouse=True)
def known_faces(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remember what the face networks return for a picture, because most films of the tests show the same one.

    Tests of the networks themselves always run them.
    """
    from lipsmith.face.detector import Network

    run = Network.__call__

    def remembered(self: Network, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        key = image.shape, hash(image.tobytes())
        if key not in KNOWN:
            KNOWN[key] = run(self, image)
            if len(KNOWN) > REMEMBERED:
                KNOWN.popitem(last=False)
        return [output.copy() for output in KNOWN[key]]

    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name != "face":
            patch.setattr(Network, "__call__", remembered)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with clips, third-party weights and assets, available only to this project's developers."""
    if not SHARED.is_dir():
        pytest.skip("../shared is absent: real footage and third-party weights are not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def clips(shared: Path) -> Path:
    """Real talking faces, split by identity into train, val and test."""
    return shared / "clips"


@pytest.fixture(scope="session")
def weights(shared: Path) -> Path:
    """Folder with third-party weights."""
    return shared / "weights"


@pytest.fixture(scope="session")
def portrait() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The drawn face as a crop `(1, 256, 256, 3)`, and its mesh `(1, 478, 2)` in crop units."""
    from lipsmith.face import FaceTracker
    from synthetic import face_at

    picture = face_at(0.0, (256, 256))
    return picture[None], (FaceTracker().track(picture).faces[0].mesh[None] / 256).astype(np.float32)
