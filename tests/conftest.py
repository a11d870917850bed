"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

# Pytest runs a worker on every core, and tiny networks are faster on one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests must not depend on models or third-party weights that the user has installed.
os.environ["LIPSMITH_HOME"] = str(Path(__file__).with_name("nobodys_home"))

# A busy machine must not fail a test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, because many tests wait for other processes."""
    return (os.cpu_count() or 1) + 1


SHARED = Path(__file__).resolve().parents[2] / "shared"


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
    return picture[None], FaceTracker().track(picture).faces[0].mesh[None] / 256
