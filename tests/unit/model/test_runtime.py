"""The process's memory settings."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from search_cluster.model.runtime import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    before = faults()
    pieces = [b"x" * 2**22 for _ in range(16)]
    del pieces
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", PROGRAM, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    num_pages = 16 * 2**22 // 4096
    assert faults("give back") > num_pages // 2, "this test would not notice"
    assert faults("keep") < num_pages // 20
