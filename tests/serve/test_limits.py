"""Memory and CPU limits of a process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")

SPIN = """
from lipsmith.serve import limits
limits._CPU_BASE, limits._CPU_PER_SECOND = 0, 1
with limits.limit_cpu_time(1):
    with limits.limit_cpu_time(1):
        pass
    while True:
        pass
"""
FILL = """
import numpy as np
from lipsmith.serve.limits import limit_memory
limit_memory(2**30)
np.zeros(2**27, np.uint8).fill(1)
try:
    np.zeros(2**31, np.uint8)
except MemoryError:
    print("refused")
"""


MAC = """
import resource, sys
sys.platform = "darwin"
from lipsmith.serve.limits import limit_memory
def refuse(limit, values):
    if limit != resource.RLIMIT_CORE:
        raise ValueError("current limit exceeds maximum limit")
resource.setrlimit = refuse
limit_memory(2**30)
print("runs")
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_the_cpu_limit_terminates_the_process() -> None:
    assert run(SPIN).returncode == -signal.SIGXCPU


def test_the_memory_limit_refuses_an_allocation() -> None:
    assert run(FILL).stdout == "refused\n"


def test_a_worker_starts_on_macos_which_refuses_limits_of_memory() -> None:
    assert run(MAC).stdout == "runs\n"
