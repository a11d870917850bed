"""The memory of threads in a command."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, tempfile, threading
from lipsmith.cli.console import save_memory
if sys.argv[1] == "shared":
    save_memory()
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
