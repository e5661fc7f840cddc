import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.errors import OneFaultError
from search_cluster.faults import FIRST, STREAK, Cause, FailureLog, FaultWatch, counted


def cause(message: str = "no turn", kind: str = "TemplateError", *texts: str) -> Cause:
    return Cause(kind=kind, message=message, texts=texts)


def watch_of(count: int) -> FaultWatch:
    return FaultWatch([str(number) for number in range(count)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (cause("only one turn"), cause("only one turn")),
        (cause("'paris' is no number", "ValueError"), cause("'rome' is no number", "ValueError")),
        (
            cause("size of tensor a (35) must match b (30)", "RuntimeError"),
            cause("size of tensor a (7) must match b (6)", "RuntimeError"),
        ),
        (
            cause("Tried to allocate 2.50 GiB", "OutOfMemoryError"),
            cause("Tried to allocate 11 GiB", "OutOfMemoryError"),
        ),
        (
            cause("<Judge at 0x7f01ab> refused", "OSError"),
            cause("<Judge at 0x55ff10> refused", "OSError"),
        ),
        (
            cause("no key for Which gas? in the table", "KeyError", "Which gas?"),
            cause("no key for Which metal? in the table", "KeyError", "Which metal?"),
        ),
        (cause('"q17"', "KeyError"), cause('"q18"', "KeyError")),
        (cause("CUDA error:\n device-side assert"), cause("CUDA error: device-side assert")),
    ],
)
def test_one_fault_is_one_reason_whatever_its_numbers_and_quotes(
    first: Cause, second: Cause
) -> None:
    assert first.reason == second.reason


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (cause("only one turn"), cause("no system turn")),
        (cause("too long", "PromptTooLongError"), cause("too long", "ValueError")),
        (
            cause("Assertion A failed", "ValueError", "A"),
            cause("Assertion B failed", "ValueError", "B"),
        ),
    ],
)
def test_one_fault_is_not_two_reasons(first: Cause, second: Cause) -> None:
    assert first.reason != second.reason


def test_one_fault_of_the_first_examples_ends_the_run_in_whatever_order_they_fail() -> None:
    watch = watch_of(100)
    for number in reversed(range(1, FIRST)):
        assert watch.take(str(number), cause(f"turn {number}")) == []
    with pytest.raises(OneFaultError) as error:
        watch.take("0", cause("turn 0"))
    assert str(error.value).startswith(f"the first {FIRST} examples failed for one reason: Templ")
    assert "run the same command again" in str(error.value)


@pytest.mark.parametrize(("count", "words"), [(1, "the one example"), (5, "all 5 examples")])
def test_one_fault_of_few_examples_is_one_of_all(count: int, words: str) -> None:
    watch = watch_of(count)
    for number in range(1, count):
        watch.take(str(number), cause())
    with pytest.raises(OneFaultError, match=f"^{words} failed for one reason: TemplateError: no"):
        watch.take("0", cause())


def test_one_fault_it_is_not_if_an_early_example_succeeds() -> None:
    watch = watch_of(100)
    for number in range(1, FIRST):
        watch.take(str(number), cause())
    assert watch.take("0", None) == []  # the next one may fail, too
    assert len(watch.take(str(FIRST), None)) == FIRST - 1


def test_one_fault_that_begins_later_ends_the_run_after_more_examples() -> None:
    watch = watch_of(1000)
    watch.take("0", None)
    for number in range(1, STREAK):
        watch.take(str(number), cause(f"device {number} is lost", "RuntimeError"))
    with pytest.raises(OneFaultError, match=f"^{STREAK} examples in a row failed for one reason"):
        watch.take(str(STREAK), cause("cuBLAS has no handle", "RuntimeError"))


def test_one_fault_is_never_what_errors_of_ours_say_of_many_examples() -> None:
    watch = watch_of(1000)
    watch.take("0", None)
    for number in range(1, 1000):
        watch.take(str(number), cause("5,000 tokens", "PromptTooLongError"))


@given(st.lists(st.sampled_from(["good", "a", "b"]), max_size=60), st.randoms())
def test_one_fault_or_every_failure_is_let_go_once(outcomes: list[str], random: object) -> None:
    watch = watch_of(len(outcomes))
    order = list(range(len(outcomes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    released: list[str] = []
    try:
        for number in order:
            good = outcomes[number] == "good"
            reason = None if good else cause(outcomes[number], "RuntimeError")
            released += watch.take(str(number), reason)
    except OneFaultError:
        first = set(outcomes[:FIRST])
        text = "".join("x" if outcome != "good" else " " for outcome in outcomes)
        assert (len(first) == 1 and "good" not in first) or "x" * STREAK in text
    else:
        failed = [str(at) for at, outcome in enumerate(outcomes) if outcome != "good"]
        assert sorted(released, key=int) == failed


def test_one_fault_of_what_there_was_ends_it_at_the_end() -> None:
    watch = watch_of(100)
    watch.end()
    watch = watch_of(100)
    for number in range(3):
        watch.take(str(number), cause())
    with pytest.raises(OneFaultError, match=r"^all 3 examples failed for one reason"):
        watch.end()


def test_one_fault_is_counted_under_its_first_words() -> None:
    causes = [cause("turn 1"), cause("NaN", "NonFiniteLogitsError"), cause("turn 2")]
    assert [(str(item), count) for item, count in counted(causes)] == [
        ("TemplateError: turn 1", 2),
        ("NonFiniteLogitsError: NaN", 1),
    ]


def test_one_fault_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(logging.getLogger("search_cluster.test"))
    for number in range(120):
        try:
            raise ValueError(f"no grade for {number}") if number % 2 else KeyError(number)
        except (KeyError, ValueError) as error:
            log.add(f"example {number}", error)
    first, other, *counts = caplog.records
    assert (first.exc_info is not None, other.exc_info is not None) == (True, True)
    assert "no grade for 1" in other.getMessage()
    assert [record.exc_info for record in counts] == [None, None]
    assert all("the 10th failure of" in record.getMessage() for record in counts)
