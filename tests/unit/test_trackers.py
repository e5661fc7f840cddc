"""Trackers get the figures of a run, keep no secret, and never harm it."""

import struct
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.telemetry.run_counters import RunCounters
from search_cluster.telemetry.sessions import SessionLog
from search_cluster.trackers import PACKAGES, Trackers, open_trackers, tracker_names


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard's files in a folder hold: values by name and step."""
    found: dict[str, dict[int, float]] = {}
    for file in folder.rglob("events.out.tfevents.*"):
        content, place = file.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            place += length + 16
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


class FailingTracker:
    def __init__(self) -> None:
        self.num_calls = 0

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.num_calls += 1
        raise OSError("the network is gone")

    def finish(self) -> None:
        raise AssertionError("it was given up")


class KeepingTracker:
    def __init__(self) -> None:
        self.calls: list[tuple[int, dict[str, float]]] = []
        self.is_finished = False

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.calls.append((step, dict(values)))

    def finish(self) -> None:
        self.is_finished = True


def test_tensorboard_gets_the_counters_of_a_session(tmp_path: Path) -> None:
    with open_trackers(("tensorboard",), tmp_path, {"seed": 3}) as trackers:
        log = SessionLog(tmp_path, "now", interval_s=0.0, trackers=trackers)
        for num_paths in (5, 9):
            log.update(RunCounters(num_paths_searched=num_paths), force=True)
        trackers.log({"accuracy": 0.5})
    found = scalars(tmp_path)
    assert found["paths_searched"] == {0: 5.0, 1: 9.0}
    assert found["accuracy"] == {2: 0.5}


def test_a_tracker_that_fails_is_given_up_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing, keeping = FailingTracker(), KeepingTracker()
    trackers = Trackers({"wandb": failing, "mlflow": keeping})  # type: ignore[dict-item]
    trackers.log({"paths": 1})
    trackers.log({"paths": 2})
    trackers.close()
    assert failing.num_calls == 1
    assert keeping.calls == [(0, {"paths": 1}), (1, {"paths": 2})]
    assert keeping.is_finished
    [line] = caplog.messages
    assert line.startswith("wandb takes no more figures (OSError: the network is gone)")


def test_only_finite_numbers_are_handed_on() -> None:
    keeping = KeepingTracker()
    trackers = Trackers({"mlflow": keeping})  # type: ignore[dict-item]
    trackers.log({"a": 1, "b": float("nan"), "c": "text", "d": True, "e": None, "f": 0.5}, step=7)
    assert keeping.calls == [(7, {"a": 1, "f": 0.5})]


def test_whoever_has_figures_already_is_not_told_them_again() -> None:
    one, other = KeepingTracker(), KeepingTracker()
    trackers = Trackers({"tensorboard": one, "mlflow": other})  # type: ignore[dict-item]
    trackers.log({"loss": 0.5}, step=3, known_to="tensorboard")
    trackers.log({"accuracy": 1.0})
    assert one.calls == [(4, {"accuracy": 1.0})]
    assert other.calls == [(3, {"loss": 0.5}), (4, {"accuracy": 1.0})]


def test_a_password_is_no_setting_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, object]] = []

    class Told(KeepingTracker):
        def start(self) -> None: ...

        def store_init_configuration(self, values: dict[str, object]) -> None:
            told.append(values)

    monkeypatch.setattr("search_cluster.trackers._tracker", lambda name, folder: Told())
    settings = {"redis_url": "redis://:secret@cache", "run": tmp_path, "seed": 1, "study": None}
    with open_trackers(("tensorboard",), tmp_path, settings):
        pass
    assert told == [{"run": str(tmp_path), "seed": 1}]


def test_one_that_can_not_be_opened_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(name: str, folder: Path) -> None:
        raise ValueError("no key")

    monkeypatch.setattr("search_cluster.trackers._tracker", refuse)
    with open_trackers(("tensorboard",), tmp_path, {}) as trackers:
        trackers.log({"paths": 1})
    assert "tensorboard can't be reported to (ValueError: no key)" in caplog.text


@pytest.mark.parametrize(
    ("report_to", "text"),
    [
        ("tensorbord", r"names 'tensorbord'; trackers are: .*; did you mean tensorboard\?"),
        ("tensorboard, none", "names 'none'; trackers are: tensorboard, wandb, mlflow, trackio$"),
    ],
)
def test_an_unknown_tracker_is_one_line(report_to: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        tracker_names(report_to)


def test_a_package_that_is_missing_is_one_line_with_its_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search_cluster.trackers.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"names wandb, .* not installed: pip install wandb$"):
        tracker_names("wandb")


def test_names_stand_between_commas() -> None:
    assert tracker_names("") == ()
    assert tracker_names(SearchConfig().report_to) == ()
    assert tracker_names("tensorboard , tensorboard") == ("tensorboard",)


@pytest.mark.filterwarnings("default")  # theirs are not ours to mend
@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
@pytest.mark.slow
def test_the_packages_themselves_take_figures(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if find_spec(PACKAGES[name]) is None:
        pytest.skip(f"package {PACKAGES[name]} is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with open_trackers((name,), tmp_path / "run", {"seed": 3}) as trackers:
        for num_paths in (5, 9):
            trackers.log({"paths": num_paths})
    assert not caplog.messages
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert written
