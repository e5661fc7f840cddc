"""CPUs, memory and the user: what limits say, not what the machine has."""

import getpass
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from search_cluster import machine
from search_cluster.machine import describe_cpus, is_homeless, usable_cpus, usable_memory_bytes

GIB = 2**30
UNLIMITED_V1 = str(2**63 - 4096)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 CPUs and 64 GiB whose limits are files below ``tmp_path``."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    pages, real = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}, os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: pages[name] if name in pages else real(name))
    return tmp_path


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")


@pytest.mark.parametrize(
    ("files", "num_cpus", "num_gib"),
    [
        ({}, 8, 64),
        ({"membership": "0::/", "cpu.max": "max 100000", "memory.max": "max"}, 8, 64),
        (
            {"membership": "0::/", "cpu.max": "200000 100000", "memory.max": str(4 * GIB)}, 2, 4
        ),
        ({"membership": "0::/", "cpu.max": "150000 100000"}, 1, 64),
        ({"membership": "0::/", "cpu.max": "50000 100000"}, 1, 64),
        ({"membership": "0::/", "cpu.max": "1600000 100000", "memory.max": str(99 * GIB)}, 8, 64),
        (
            {"membership": "0::/slurm/job", "slurm/cpu.max": "300000 100000",
             "slurm/job/cpu.max": "max 100000", "slurm/job/memory.max": str(8 * GIB),
             "slurm/memory.max": str(16 * GIB)}, 3, 8
        ),
        # In a container the group may be named as outside; its limits lie at the top.
        ({"membership": "0::/docker/0123", "cpu.max": "400000 100000"}, 4, 64),
        (
            {"membership": "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/",
             "cpu,cpuacct/job/cpu.cfs_quota_us": "250000",
             "cpu,cpuacct/job/cpu.cfs_period_us": "50000",
             "cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000",
             "memory/job/memory.limit_in_bytes": str(2 * GIB),
             "memory/memory.limit_in_bytes": UNLIMITED_V1}, 5, 2
        ),
        (
            {"membership": "3:cpu:/docker/0123\n0::/", "cpu/cpu.cfs_quota_us": "100000",
             "cpu/cpu.cfs_period_us": "100000", "unified/cgroup.procs": ""}, 1, 64
        ),
        ({"membership": "0::/", "cpu.max": "", "memory.max": "a lot"}, 8, 64),
        ({"membership": "0::/../../x", "cpu.max": "100000 100000"}, 1, 64),
    ],
)  # fmt: skip
def test_machine_the_limits_of_control_groups_count(
    groups: Path, files: Mapping[str, str], num_cpus: int, num_gib: int
) -> None:
    write(groups, files)
    assert usable_cpus() == num_cpus
    assert usable_memory_bytes() == num_gib * GIB


def test_machine_the_smaller_of_affinity_and_quota_counts(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(groups, {"membership": "0::/", "cpu.max": "300000 100000"})
    assert describe_cpus() == "3 CPUs (of 8: affinity or a control group's quota)"
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    assert describe_cpus() == "1 CPU (of 8: affinity or a control group's quota)"


def test_machine_arithmetic_keeps_to_a_quota_and_to_what_the_user_says(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    machine.limit_arithmetic_threads()
    assert "OMP_NUM_THREADS" not in os.environ
    write(groups, {"membership": "0::/", "cpu.max": "300000 100000"})
    machine.limit_arithmetic_threads()
    assert os.environ.pop("OMP_NUM_THREADS") == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    machine.limit_arithmetic_threads()
    assert os.environ["OMP_NUM_THREADS"] == "6"


def test_machine_states_take_a_share_of_the_memory_that_is_allowed(groups: Path) -> None:
    from search_cluster.model.device_memory import CPU_STATE_BYTES, cpu_state_bytes

    assert cpu_state_bytes() == CPU_STATE_BYTES
    write(groups, {"membership": "0::/", "memory.max": str(GIB)})
    assert cpu_state_bytes() == GIB // 10


ON_ONE_CPU = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from search_cluster.cli import main
sys.argv[0] = "search-cluster"
main()
"""


@pytest.mark.slow
def test_machine_doctor_counts_the_cpus_of_taskset() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", ON_ONE_CPU, "doctor"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = (line for line in done.stdout.splitlines() if " devices " in line)
    assert " 1 CPU" in line
    assert line.endswith(", 1 thread")


@pytest.mark.ray
def test_machine_a_private_cluster_has_the_cpus_that_are_allowed(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_cluster.cluster.environment import prepare_ray_environment

    prepare_ray_environment("local")
    from search_cluster.cluster import session

    asked: list[dict[str, object]] = []
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.ray, "init", lambda **settings: asked.append(settings))
    write(groups, {"membership": "0::/", "cpu.max": "100000 100000"})
    session.connect_ray("local", min_cpus=1)
    session.connect_ray("local", min_cpus=4)  # so many workers were asked for
    assert [settings["num_cpus"] for settings in asked] == [1, 4]


def test_machine_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    machine.name_user()
    assert getpass.getuser() == f"uid-{os.getuid()}"
    monkeypatch.setenv("LOGNAME", "ada")
    machine.name_user()
    assert getpass.getuser() == "ada"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("Could not determine home directory."), True),
        (RuntimeError("could not determine the home directory for '~/.cache', set HOME"), True),
        (KeyError("getpwuid(): uid not found: 12345"), True),
        (RuntimeError("CUDA error"), False),
        (KeyError("home"), False),
        (ValueError("Could not determine home directory."), False),
    ],
)
def test_machine_what_libraries_say_without_a_home_is_known(
    error: Exception, expected: bool
) -> None:
    assert is_homeless(error) is expected


def test_a_limit_of_the_shell_is_a_limit_of_memory(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {resource.RLIMIT_AS: (3 * GIB, resource.RLIM_INFINITY)}
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits.get(which, unlimited))
    assert usable_memory_bytes() == 3 * GIB
    limits.clear()
    assert usable_memory_bytes() == 64 * GIB
