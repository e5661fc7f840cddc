"""Progress of what has no progress of its own: quiet where it is short, with time left else."""

import pytest

from search_cluster.console import left_text, track


class Clock:
    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def test_lines_come_now_and_then_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abcdefgh", "letters", clock=Clock(2.5))) == list("abcdefgh")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "letters: 2/8, about 15 s left",
        "letters: 4/8, about 10 s left",
        "letters: 6/8, about 5 s left",
        "letters: 8/8",
    ]


@pytest.mark.parametrize("items", ["", "abc"])
def test_nothing_is_said_of_what_is_short(items: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(items, "letters", clock=Clock(0.3))) == list(items)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "about 0 s left"), (119, "about 119 s left"), (600, "about 10 min left"),
     (9000, "about 2.5 h left")],
)  # fmt: skip
def test_what_is_left_is_said_coarsely(seconds: float, text: str) -> None:
    assert left_text(seconds) == text
