from search_cluster.cache.redis.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_opens_once_probes_with_growing_waits_and_closes() -> None:
    clock = Clock()
    breaker = Breaker(max_failures=3, first_wait_s=2.0, max_wait_s=5.0, clock=clock)
    assert [breaker.fail(), breaker.fail(), breaker.allows, breaker.fail()] == [
        False,
        False,
        True,
        True,
    ]
    waits = []
    for _ in range(4):
        asked_at = clock.now_s
        while not breaker.allows:
            clock.now_s += 0.5
        waits.append(clock.now_s - asked_at)
        assert not breaker.fail()
    assert waits == [2.0, 4.0, 5.0, 5.0]
    assert breaker.succeed()
    assert breaker.allows
    assert not breaker.is_open
    assert not breaker.succeed()


def test_a_success_in_between_forgets_failures() -> None:
    breaker = Breaker(max_failures=2, first_wait_s=1.0, max_wait_s=1.0, clock=Clock())
    assert not breaker.fail()
    assert not breaker.succeed()
    assert not breaker.fail()
    assert not breaker.is_open
