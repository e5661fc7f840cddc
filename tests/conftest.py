"""Options and paths shared by all rings of tests."""

import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Set before anything imports ray, transformers or datasets: no test talks to a hub or phones home.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Set before anything imports torch: several processes run tests side by side, models are tiny, and
# threads that wait for each other on a busy machine take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

INTEGRATION = Path(__file__).parent / "integration"

sys.path.insert(0, str(INTEGRATION.parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--weights-offset",
        type=int,
        metavar="BYTES",
        help="let each weight of the tests' models lie so many bytes further behind a boundary of "
        "64 than the one before, as on another machine; a multiple of 4",
    )


def pytest_configure(config: pytest.Config) -> None:
    from search_cluster.cluster.environment import prepare_ray_environment

    # Ray reads it once, when it is first used, and a unit test may be the first to use it.
    prepare_ray_environment("local")
    # A deadline would measure how busy the machine is.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    # A shell lets what it starts in the background ignore Ctrl-C, and the commands that tests
    # interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if (offset_bytes := config.getoption("--weights-offset")) is not None:
        from support.placement import scatter_weights

        scatter_weights(offset_bytes)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the integration ring as slow; processes share the tests by file, long ones first."""
    for item in items:
        if INTEGRATION in item.path.parents and item.get_closest_marker("main_job") is None:
            item.add_marker("slow")
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_when)


def _when(item: pytest.Item) -> int:
    """What takes long comes first, so that at the end no process waits long for another."""
    if item.get_closest_marker("main_job") is not None:
        return 0
    return 2 if "unit" in item.path.parts else 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    from support.command import none_left_running

    with none_left_running():
        return (yield)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One private Ray for all tests that need one; starting it takes seconds."""
    from search_cluster.cluster.session import connect_ray, disconnect_ray

    connect_ray("local", min_cpus=4)
    yield
    disconnect_ray()


@pytest.fixture
def ray_address(ray_cluster: None) -> str:
    """Joined by commands in processes of their own, which takes much less than starting a Ray."""
    import ray

    address: str = ray.get_runtime_context().gcs_address
    return address
