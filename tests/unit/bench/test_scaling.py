"""What measured costs per verdict say of fleets that no machine here has."""

from dataclasses import replace

from search_cluster.bench.scaling import _outlook
from search_cluster.bench.window import Window


def test_the_fuller_of_driver_and_cache_server_bounds_the_fleet() -> None:
    full = Window(
        seconds=10.0, num_verdicts=70_000, busy_s=0.0, driver_cpu_s=1.4, coordinators_cpu_s=9.0,
        cache_cpu_s=0.5, machine_cpu_s=0.0,
    )  # fmt: skip
    fleet = replace(full, num_verdicts=7_000, driver_cpu_s=0.07, cache_cpu_s=7.0)
    found = _outlook(full, fleet, device_paths_per_s=200.0)
    assert found["gpus_per_driver_core"] == 250  # 20 microseconds a verdict, 50,000 a second
    assert found["fleet_share_expected"] == {
        "64": 1.0, "256": 0.977, "1000": 0.25, "10000": 0.025,
    }  # fmt: skip
    assert "the driver" in found["limit_at_1000_gpus"]
    # Where coordinators have less to tell, their reports cost more a verdict.
    fleet = replace(fleet, driver_cpu_s=0.28)
    assert _outlook(full, fleet, device_paths_per_s=200.0)["gpus_per_driver_core"] == 125
