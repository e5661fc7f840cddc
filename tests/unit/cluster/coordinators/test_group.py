"""Coordinators that make their own shards, in this process: one corpus, whoever dies."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.instant_ray import InstantFleet, InstantRay, instant_ray
from support.scripted_search import (
    BUDGET,
    NUM_LAYERS,
    PROVENANCE,
    make_examples,
    make_job,
    records_of,
    start_group,
)

from search_cluster.cluster.coordinators import actor as actor_module
from search_cluster.cluster.coordinators import health as health_module
from search_cluster.cluster.coordinators import staffing, succession
from search_cluster.cluster.coordinators import working as working_module
from search_cluster.cluster.coordinators.group import CoordinatorGroup
from search_cluster.cluster.scripted_devices import scripted_verdict
from search_cluster.corpus.digest import corpus_digest, record_digest
from search_cluster.corpus.encoded_shard import EncodedShard, Found
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.driver.partition import PartitionSetup
from search_cluster.errors import EvaluatorError
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator

NUM_EXAMPLES = 24
NUM_PATHS = NUM_EXAMPLES * BUDGET


class SameScript(ScriptedEvaluator):
    """Answers in this process as the devices do."""

    def __init__(self) -> None:
        super().__init__(lambda example, path: 0.0)

    def _answer(self, request: EvaluationRequest) -> EvaluationResult:
        return EvaluationResult(request_id=request.request_id, outcome=scripted_verdict(request))


@pytest.fixture(scope="module")
def local() -> dict[str, ExampleRecord]:
    """What one process without any cluster finds, by question."""
    job = make_job(Path("none"))
    search = Coordinator(
        SameScript(), make_examples(NUM_EXAMPLES), num_layers=NUM_LAYERS, preset=job.preset,
        seed=job.seed, studied=job.studied,
    )  # fmt: skip
    records = [record for record in search.run() if record is not None]
    return {record.example.question: record for record in records}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[InstantRay]:
    monkeypatch.setattr(working_module, "STEP_S", 0.03)
    monkeypatch.setattr(health_module, "LOOK_S", 0.0)
    with instant_ray(monkeypatch) as ray:
        yield ray


def start(
    run_dir: Path,
    *,
    num_workers: int = 4,
    per_shard: int = 5,
    num_examples: int = NUM_EXAMPLES,
    sick: Sequence[int] = (),
    **settings: Any,
) -> CoordinatorGroup:
    job = make_job(run_dir)
    shards = replace(job.shards, examples_per_shard=per_shard, max_age_s=math.inf)
    fleet: Any = InstantFleet(num_workers, NUM_LAYERS)
    fleet.make_sick(sick, "sick")
    setup = PartitionSetup(job=replace(job, shards=shards))
    return start_group(
        setup, fleet, make_examples(num_examples), **{"requests_per_batch": 4} | settings
    )


def run(
    group: CoordinatorGroup, watch: Callable[[], None] = lambda: None
) -> tuple[list[Found], list[ExampleRecord]]:
    found: list[Found] = []
    while group.busy:
        found += group.step()
        watch()
    assert group.close() == []
    return found, list(records_of(found))


@pytest.mark.parametrize("num_coordinators", [1, 3])
def test_the_corpus_is_that_of_one_process(
    ray: InstantRay, tmp_path: Path, local: dict[str, ExampleRecord], num_coordinators: int
) -> None:
    group = start(tmp_path / "cache", num_coordinators=num_coordinators)
    found, records = run(group)
    assert {record.example.question: record for record in records} == local
    assert len(records) == NUM_EXAMPLES
    assert group.num_ended == NUM_EXAMPLES
    assert group.counts.num_paths_searched == group.stats().num_evaluated == NUM_PATHS
    shards = [item for item in found if isinstance(item, EncodedShard)]
    assert len(shards) == len(found) <= NUM_EXAMPLES / 5 + num_coordinators
    for shard in shards:
        for ended, record in zip(shard.new, records_of([shard]), strict=True):
            assert ended.digest == record_digest(record)
    with CorpusWriter(tmp_path / "corpus", PROVENANCE) as writer:
        for shard in shards:
            writer.add_shard(shard)
        manifest = writer.close({})
    assert manifest.corpus_digest == corpus_digest(local.values())
    assert set(read_corpus(tmp_path / "corpus").records) == set(local.values())


def test_what_a_dead_coordinator_had_not_handed_over_is_searched_again(
    ray: InstantRay, tmp_path: Path, local: dict[str, ExampleRecord]
) -> None:
    group = start(tmp_path, num_coordinators=2, per_shard=1_000)

    def kill_one() -> None:
        if group.num_ended >= 3 and not group.num_restarts:
            next(iter(group._working)).actor.is_dead = True

    _, records = run(group, kill_one)
    assert group.num_restarts == 1
    assert {record.example.question: record for record in records} == local
    assert len(records) == len(local)
    assert group.counts.num_paths_searched == NUM_PATHS
    assert group.num_ended == NUM_EXAMPLES


def test_what_waits_is_handed_out_when_the_searches_are_ended(
    ray: InstantRay, tmp_path: Path, local: dict[str, ExampleRecord]
) -> None:
    group = start(tmp_path, num_coordinators=2, per_shard=1_000)
    while group.num_ended < 3:
        assert group.step() == []
    num_ended, counts = group.num_ended, group.counts
    records = list(records_of(group.close()))
    assert len(records) >= num_ended
    assert all(record == local[record.example.question] for record in records)
    assert group.close() == []
    assert group.counts == counts  # what a session says in the end
    assert all(actor.is_dead for actor in ray.actors)


def test_what_was_found_in_the_step_that_was_interrupted_is_handed_out_too(
    ray: InstantRay, tmp_path: Path, local: dict[str, ExampleRecord]
) -> None:
    group = start(tmp_path, num_coordinators=1, per_shard=1)

    keep = group._keep

    def keep_and_be_interrupted(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    group._keep = keep_and_be_interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(group)
    records = list(records_of(group.close()))
    assert records
    assert all(record == local[record.example.question] for record in records)


def test_examples_of_an_earlier_invocation_count_and_are_not_written_again(
    ray: InstantRay, tmp_path: Path, local: dict[str, ExampleRecord]
) -> None:
    known = [local[f"q{number}"] for number in range(10)]
    group = start(tmp_path, known={record.example.example_id: record.evaluated for record in known})
    found, records = run(group)
    assert {record.example.question for record in records} == {
        f"q{number}" for number in range(10, NUM_EXAMPLES)
    }
    told = [item.example_id for shard in found for item in shard.ended]  # type: ignore[union-attr]
    assert len(set(told)) == len(told) == group.num_ended == NUM_EXAMPLES
    assert group.counts.num_paths_searched == NUM_PATHS
    assert group.stats().num_evaluated == NUM_PATHS - 10 * BUDGET


def test_a_full_coordinator_gets_company_that_takes_half_of_its_workers(
    ray: InstantRay,
    tmp_path: Path,
    local: dict[str, ExampleRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from search_cluster.cluster.coordinators import group as group_module

    monkeypatch.setattr(actor_module, "STATS_S", 0.0)
    monkeypatch.setattr(staffing, "WINDOW_S", 0.01)
    monkeypatch.setattr(staffing, "FULL_SHARE", 0.0)
    monkeypatch.setattr(group_module, "num_free", lambda kind: 2)
    group = start(tmp_path, num_coordinators=None, num_examples=4 * NUM_EXAMPLES)
    shares: list[list[int]] = []
    _, records = run(
        group, lambda: shares.append(sorted(len(other.workers) for other in group._working))
    )
    assert shares[0] == [4]
    assert [2, 2] in shares
    assert max(map(len, shares)) == 2
    assert group.num_restarts == 0
    assert group.counts.num_paths_searched == group.stats().num_evaluated == 4 * NUM_PATHS
    assert len({record.example.example_id for record in records}) == len(records)
    first = {item.example.question: item for item in records if item.example.question in local}
    assert first == local


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets each coordinator be on a node of its own, named after it; who dies goes with it."""
    numbers = itertools.count()
    monkeypatch.setattr(actor_module, "this_node_id", lambda: f"node {next(numbers)}")
    monkeypatch.setattr(succession, "died_with_its_node", lambda error, node_id: bool(node_id))


@pytest.mark.usefixtures("nodes")
def test_coordinators_that_go_with_their_nodes_accuse_nobody_and_end_no_run(
    ray: InstantRay,
    tmp_path: Path,
    local: dict[str, ExampleRecord],
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = start(
        tmp_path, num_workers=8, num_coordinators=8, per_shard=1_000, num_examples=4 * NUM_EXAMPLES
    )
    lost: list[int] = []

    def lose_all() -> None:
        holders = [one for one in group._working if group._leases.num_held(one.number)]
        if len(holders) == 8 and len(lost) < 5 * 8:
            lost.extend(one.number for one in holders)
            for coordinator in holders:
                coordinator.actor.is_dead = True

    _, records = run(group, lose_all)
    assert len(lost) == 5 * 8
    assert group.num_restarts == len(lost)
    assert len({record.example.example_id for record in records}) == 4 * NUM_EXAMPLES
    first = {item.example.question: item for item in records if item.example.question in local}
    assert first == local
    assert group.counts.num_paths_searched == 4 * NUM_PATHS
    assert "coordinator 0 was lost with its node: others take over" in caplog.messages


@pytest.mark.usefixtures("nodes")
def test_a_node_is_lost_once_so_coordinators_that_die_there_later_end_a_run(
    ray: InstantRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor_module, "this_node_id", lambda: "a")
    group = start(tmp_path, num_coordinators=1, per_shard=1_000)

    def lose() -> None:
        for coordinator in group._working:
            coordinator.actor.is_dead = True

    with pytest.raises(EvaluatorError, match="coordinators died 6 times"):
        run(group, lose)


@pytest.mark.usefixtures("nodes")
def test_coordinators_leave_nodes_that_are_about_to_go_with_what_they_have(
    ray: InstantRay,
    tmp_path: Path,
    local: dict[str, ExampleRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (succession, working_module):
        monkeypatch.setattr(module, "num_alive_outside", lambda nodes: 1)
    group = start(tmp_path, num_coordinators=2, per_shard=1_000)
    fleet: Any = group._fleet
    seen: list[set[str]] = []

    def leave() -> None:
        seen.append({coordinator.node_id for coordinator in group._working})
        if group.num_ended >= 3 and not fleet.leaving:
            fleet.leaving = frozenset({"node 0"})

    _, records = run(group, leave)
    assert fleet.leaving
    assert "node 0" not in seen[-1]
    assert seen[-1] - {""}
    assert ray.options[1]["label_selector"] is None
    assert ray.options[-1]["label_selector"] == {"ray.io/node-id": "!in(node 0)"}
    assert len(ray.actors) == 3
    assert group.num_restarts == 0
    assert {record.example.question: record for record in records} == local
    assert group.counts.num_paths_searched == NUM_PATHS


@pytest.mark.usefixtures("nodes")
def test_coordinators_stay_where_no_other_node_is_left(
    ray: InstantRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (succession, working_module):
        monkeypatch.setattr(module, "num_alive_outside", lambda nodes: 0)
    group = start(tmp_path, num_coordinators=2)
    fleet: Any = group._fleet
    fleet.leaving = frozenset({"node 0", "node 1"})
    run(group)
    assert len(ray.actors) == 2


def test_coordinators_whose_workers_are_on_a_sick_node_are_done_without(
    ray: InstantRay,
    tmp_path: Path,
    local: dict[str, ExampleRecord],
    caplog: pytest.LogCaptureFixture,
) -> None:
    group = start(tmp_path, num_coordinators=2, sick=(0, 2), num_examples=8 * NUM_EXAMPLES)
    _, records = run(group)
    assert len({record.example.example_id for record in records}) == 8 * NUM_EXAMPLES
    first = {item.example.question: item for item in records if item.example.question in local}
    assert first == local
    assert group.counts.num_paths_searched == 8 * NUM_PATHS
    assert group.num_restarts == 3
    lines = {text for text in caplog.messages if text.startswith("coordinator ")}
    assert all("can't go on (workers died 14 times without one result" in line for line in lines)
    assert len(lines) == 3
    assert "node sick is given up: its devices failed 3 times" in caplog.text


@pytest.mark.parametrize(("num_coordinators", "sick"), [(1, (0, 1)), (2, (0, 1))])
def test_a_run_ends_when_no_coordinator_can_go_on(
    ray: InstantRay, tmp_path: Path, num_coordinators: int, sick: Sequence[int]
) -> None:
    group = start(tmp_path, num_workers=2, num_coordinators=num_coordinators, sick=sick)
    with pytest.raises(EvaluatorError, match=r"workers died 1\d times|no worker is left"):
        run(group)


def test_the_time_in_which_workers_waited_for_a_coordinator_that_hung_is_counted(
    ray: InstantRay, tmp_path: Path
) -> None:
    group = start(tmp_path, num_coordinators=2)
    waited: list[int] = []

    def let_one_hang() -> None:
        coordinator = next(iter(group._working))
        if not waited and coordinator.report is not None and len(coordinator.workers) == 2:
            waited.append(coordinator.number)
            coordinator.told_s -= 1000.0
            coordinator.workers = {
                number: (ready, since_s - 1001.0)
                for number, (ready, since_s) in coordinator.workers.items()
            }
            coordinator.actor.is_dead = True

    run(group, let_one_hang)
    assert waited
    assert 2000.0 <= group.stats().device_held_s < 2100.0
