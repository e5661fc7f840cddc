"""Options and paths shared by all rings of tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set before anything imports ray, transformers or datasets: no test talks to a hub or phones home.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One private Ray for all tests that need one; starting it takes seconds."""
    from search_cluster.cluster.environment import prepare_ray_environment

    prepare_ray_environment("local")
    from search_cluster.cluster.session import connect_ray, disconnect_ray

    connect_ray("local", min_cpus=4)
    yield
    disconnect_ray()


@pytest.fixture
def ray_address(ray_cluster: None) -> str:
    """For commands in processes of their own: joining a cluster takes much less than starting one."""
    import ray

    address: str = ray.get_runtime_context().gcs_address
    return address
