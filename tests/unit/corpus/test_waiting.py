"""When enough waits for a shard, on a clock that the test turns."""

from search_cluster.corpus.waiting import WaitingForShard


def test_a_shard_is_due_when_enough_wait_or_the_oldest_is_old() -> None:
    now = [100.0]
    waiting = WaitingForShard[int](3, 30.0, lambda: now[0])
    assert not waiting.is_due
    for number in range(3):
        assert not waiting.is_due
        waiting.add(f"e{number}", number)
    assert waiting.is_due
    assert "e1" in waiting
    assert (waiting.take(), len(waiting), waiting.is_due) == ([0, 1, 2], 0, False)

    now[0] = 200.0
    waiting.add("e3", 3)
    now[0] = 229.9
    waiting.add("e4", 4)
    assert not waiting.is_due
    now[0] = 230.0
    assert waiting.is_due
    assert waiting.take() == [3, 4]
    now[0] = 300.0
    assert not waiting.is_due
