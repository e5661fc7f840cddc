"""Devices that break, hang or crash in mid-search on a real Ray: the corpus is the same."""

import contextlib
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.scripted_search import Outcome, make_examples, make_job, run_group, start_group

from search_cluster.driver.partition import PartitionSetup
from search_cluster.tasks.example import Example

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

NUM_EXAMPLES = 24


def search(
    folder: Path,
    num_devices: int,
    *faults: dict[str, Any],
    watch: Any = lambda group: None,
    path_s: float = 0.001,
    examples: Sequence[Example] = (),
    **settings: Any,
) -> Outcome:
    from search_cluster.cluster.scripted_devices import DeviceFault, Pace, ask_for_scripted

    fleet = ask_for_scripted(
        Pace(batch_s=0.005, path_s=path_s),
        num_devices=num_devices,
        num_layers=12,
        needs_device=False,
        slots_per_process=1,
        faults=[DeviceFault(**fault) for fault in faults],
    )
    with closing(fleet):
        setup = PartitionSetup(job=make_job(folder))
        group = start_group(setup, fleet, examples or make_examples(NUM_EXAMPLES), **settings)
        return run_group(group, watch)


@pytest.fixture(scope="module")
def undisturbed(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return search(tmp_path_factory.mktemp("undisturbed"), 1)


@pytest.fixture
def ailment() -> Any:
    from search_cluster.cluster.scripted_devices import Ailment

    return Ailment


def test_devices_that_break_once_leave_no_failure_and_no_other_verdict(
    undisturbed: Outcome, tmp_path: Path, ailment: Any
) -> None:
    fault = {"ailment": ailment.BREAKS, "from_batch": 3, "is_lasting": False}
    outcome = search(tmp_path, 2, fault)
    assert outcome.digest == undisturbed.digest
    assert outcome.counts.num_failures == outcome.stats.num_failures == 0
    assert outcome.stats.num_worker_restarts >= 2
    assert outcome.num_restarts == 0


def test_a_device_that_hangs_is_killed_and_its_work_goes_on(
    undisturbed: Outcome, tmp_path: Path, ailment: Any
) -> None:
    fault = {"ailment": ailment.HANGS, "from_batch": 3, "is_lasting": False}
    outcome = search(tmp_path, 2, fault, worker_timeout_s=5.0)
    assert outcome.digest == undisturbed.digest
    assert outcome.counts.num_failures == 0
    assert outcome.stats.num_worker_restarts >= 2


def test_a_question_that_breaks_every_device_is_named_and_takes_no_other_with_it(
    undisturbed: Outcome, tmp_path: Path, ailment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = search(tmp_path, 2, {"ailment": ailment.BREAKS, "question": "q2"})
    assert outcome.counts.num_failures == 1
    bad = [record for record in outcome.records if record.example.question == "q2"]
    assert [record.identity for record in bad] == [None]
    assert [failure.kind for failure in bad[0].failures] == ["DeviceBroken"]
    assert f"example {bad[0].example.example_id}, path 0-11 is given up: " in caplog.text
    assert "devices broke of it" in caplog.text
    good = {record.example.question: record for record in undisturbed.records}
    del good["q2"]
    others = {record.example.question: record for record in outcome.records}
    del others["q2"]
    assert others == good


def test_a_machine_all_of_whose_devices_are_broken_ends_the_run_and_leaves_nothing(
    tmp_path: Path, ailment: Any
) -> None:
    from search_cluster.errors import EvaluatorError

    seen: list[Any] = []
    with pytest.raises(EvaluatorError, match="CUDA error: scripted") as error:
        search(tmp_path, 1, {"ailment": ailment.BREAKS}, watch=seen.append)
    assert "\n" not in str(error.value)
    assert seen[-1].num_ended == 0
    assert seen[-1].counts.num_failures == 0


class Disturbance:
    """Faults at random moments: devices are killed and stopped, and now and then a coordinator."""

    def __init__(self, num_faults: int, *, num_coordinators: int) -> None:
        self.faults: list[str] = []
        self._num_faults = num_faults
        self._num_coordinators = num_coordinators
        self._rng = random.Random(0)
        self._next_s = 0.0

    @property
    def is_over(self) -> bool:
        return len(self.faults) >= self._num_faults

    def __call__(self, group: Any) -> None:
        if self.is_over or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._rng.uniform(0.2, 1.5)
        devices = list(device_processes())
        if not devices or not group.pids():
            return
        kind = self._rng.choices(["kill", "hang", "coordinator"], weights=[80, 15, 5])[0]
        with contextlib.suppress(psutil.NoSuchProcess):
            if kind == "coordinator" and self.faults.count(kind) < self._num_coordinators:
                psutil.Process(self._rng.choice(group.pids())).kill()
            elif kind == "hang":
                self._rng.choice(devices).suspend()
            else:
                kind = "kill"
                self._rng.choice(devices).kill()
            self.faults.append(kind)


def device_processes() -> Iterator[psutil.Process]:
    """Those of this process' own Ray that run."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if (
                any("ray::ScriptedDevices" in part for part in process.cmdline())
                and process.status() != psutil.STATUS_STOPPED
            ):
                yield process


@pytest.mark.soak
def test_a_hundred_faults_at_random_moments_leave_one_digest_and_no_failure(
    tmp_path: Path,
) -> None:
    num_faults = int(os.environ.get("LPS_SOAK_FAULTS", "100"))
    # As many examples as last until the end, at a pace that leaves time for restarts.
    examples = make_examples(4 * num_faults)
    undisturbed = search(tmp_path / "undisturbed", 4, examples=examples)
    disturbance = Disturbance(num_faults, num_coordinators=4)
    outcome = search(
        tmp_path / "disturbed",
        4,
        examples=examples,
        watch=disturbance,
        path_s=0.05,
        num_coordinators=2,
        worker_timeout_s=20.0,
    )
    assert disturbance.is_over, disturbance.faults
    assert outcome.digest == undisturbed.digest
    assert outcome.counts.num_failures == 0
    assert outcome.counts.num_paths_searched == undisturbed.counts.num_paths_searched
