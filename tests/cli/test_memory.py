"""The memory of threads in a command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, tempfile, threading
from lipsmith.cli.console import tune_process
if sys.argv[1] == "shared":
    tune_process()
both = threading.Barrier(5)
def allocate():
    kept = [bytes(2000) for _ in range(1000)]
    both.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
[thread.start() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype, libc.fclose.argtypes, libc.malloc_info.argtypes = ctypes.c_void_p, [ctypes.c_void_p], None
libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
with tempfile.NamedTemporaryFile() as report:
    file = libc.fopen(report.name.encode(), b"w")
    libc.malloc_info(0, ctypes.c_void_p(file))
    libc.fclose(file)
    print(report.read().count(b"<heap nr="))
both.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have other C libraries")
def test_threads_share_one_arena() -> None:
    def arenas(way: str) -> int:
        done = subprocess.run([sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert arenas("own") > 1
    assert arenas("shared") == 1


def test_numpy_is_imported_with_one_thread() -> None:
    """The setting is read when numpy is imported, which must not happen before."""
    program = "import sys, lipsmith.cli as cli; early = 'numpy' in sys.modules; cli.load_verb('dub'); import os\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "print(early, os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules)"],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"},
    )
    assert done.stdout == "False 1 True\n", done.stderr


def test_opencv_gets_one_thread_in_a_dub() -> None:
    """The setting is read when OpenCV is imported, which must not happen before."""
    program = "import lipsmith.cli.dub, lipsmith.cli.batch, lipsmith.cli.console as c; c.tune_process()\nimport cv2\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "print(cv2.getNumThreads())"], capture_output=True, text=True
    )
    assert done.stdout == "1\n", done.stderr
