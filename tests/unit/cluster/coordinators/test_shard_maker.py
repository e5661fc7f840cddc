"""What a coordinator hands over of examples that ended, and when."""

import pickle

from support.run_folders import PROVENANCE, broken, example, right, searched

from search_cluster.cluster.coordinators.shard_maker import Finished, ShardMaker
from search_cluster.corpus.encoded_shard import ShardSettings
from search_cluster.corpus.shards import decode_records
from search_cluster.protocols.counters import SearchCounts
from search_cluster.search.coordinator import EndedSearch

SETTINGS = ShardSettings(provenance=PROVENANCE, examples_per_shard=3, max_age_s=30.0)


def ended(number: int, *, failed: bool = False) -> EndedSearch:
    """One that took as many paths as its number says."""
    return EndedSearch(
        record=searched(example(number), broken if failed else right),
        counts=SearchCounts(num_paths_searched=number),
    )


def test_records_wait_until_they_fill_a_shard_or_nothing_may_wait() -> None:
    maker = ShardMaker(SETTINGS, lambda: 0.0)
    items = [ended(number) for number in range(1, 6)]
    for item in items[:2]:
        maker.add(item)
    assert maker.take(everything=False) == Finished()
    assert (maker.num_ended, len(maker), maker.settled) == (2, 2, SearchCounts())
    for item in items[2:4]:
        maker.add(item)
    full = pickle.loads(pickle.dumps(maker.take(everything=False)))  # noqa: S301 - just written
    assert decode_records(full.shard.data) == tuple(item.record for item in items[:4])
    assert (maker.num_ended, len(maker)) == (4, 0)
    assert maker.settled == SearchCounts(num_paths_searched=1 + 2 + 3 + 4)
    maker.add(items[4])
    rest = maker.take(everything=True).shard
    assert rest is not None
    assert [item.example_id for item in rest.new] == [items[4].record.example.example_id]
    assert maker.take(everything=True) == Finished()


def test_a_record_that_waited_for_long_waits_no_more() -> None:
    now = [0.0]
    maker = ShardMaker(SETTINGS, lambda: now[0])
    maker.add(ended(1))
    now[0] = 29.0
    assert maker.take(everything=False).shard is None
    now[0] = 30.0
    assert maker.take(everything=False).shard is not None


def test_what_failed_at_once_waits_for_nothing_and_is_in_no_shard() -> None:
    maker = ShardMaker(SETTINGS, lambda: 0.0)
    item = ended(7, failed=True)
    maker.add(item)
    maker.add(ended(1))
    assert maker.take(everything=False) == Finished(failed=(item.record,))
    assert maker.settled == item.counts
    last = maker.take(everything=True)
    assert last.failed == ()
    assert last.shard is not None
    assert len(last.shard.new) == 1


def test_what_an_earlier_invocation_wrote_is_told_and_not_written_again() -> None:
    maker = ShardMaker(SETTINGS, lambda: 0.0)
    items = [ended(number) for number in range(1, 4)]
    maker.note_written(items[1].record.example.example_id)
    for item in items:
        maker.add(item)
    shard = maker.take(everything=False).shard
    assert shard is not None
    assert decode_records(shard.data) == (items[0].record, items[2].record)
    assert [item.example_id for item in shard.known] == [items[1].record.example.example_id]
    assert len(shard.ended) == 3
