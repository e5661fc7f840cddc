"""Devices that break, hang or crash in mid-search on a real Ray: the corpus is the same."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.scripted_search import Outcome, make_examples, make_job, run_group, start_group

from search_cluster.driver.partition import PartitionSetup

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

NUM_EXAMPLES = 24


def search(
    folder: Path,
    num_devices: int,
    *faults: dict[str, Any],
    watch: Any = lambda group: None,
    **settings: Any,
) -> Outcome:
    from search_cluster.cluster.scripted_devices import DeviceFault, Pace, ask_for_scripted

    fleet = ask_for_scripted(
        Pace(batch_s=0.005, path_s=0.001),
        num_devices=num_devices,
        num_layers=12,
        needs_device=False,
        slots_per_process=1,
        faults=[DeviceFault(**fault) for fault in faults],
    )
    with closing(fleet):
        setup = PartitionSetup(job=make_job(folder))
        group = start_group(setup, fleet, make_examples(NUM_EXAMPLES), **settings)
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
