from search_cluster.cache.redis.write_buffer import BYTES_PER_ENTRY, WriteBuffer


def test_first_writer_wins_in_order_of_arrival() -> None:
    buffer = WriteBuffer(max_bytes=10_000)
    assert buffer.add(("b", b"1"), b"first")
    assert buffer.add(("a", b"1"), b"x")
    assert buffer.add(("b", b"1"), b"second")
    assert buffer.oldest(9) == [(("b", b"1"), b"first"), (("a", b"1"), b"x")]
    assert buffer.oldest(1) == [(("b", b"1"), b"first")]


def test_it_turns_away_what_does_not_fit_and_gives_room_back() -> None:
    buffer = WriteBuffer(max_bytes=2 * (BYTES_PER_ENTRY + 10))
    assert buffer.add(("a", b"1"), bytes(10))
    assert buffer.add(("a", b"2"), bytes(10))
    assert not buffer.add(("a", b"3"), b"")
    buffer.remove([("a", b"1")])
    assert buffer.add(("a", b"3"), bytes(10))
    buffer.clear()
    assert len(buffer) == 0
    assert buffer.add(("a", b"4"), bytes(BYTES_PER_ENTRY + 20))
