"""What both programs can: say their version, and complete words."""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from router_train.cli import app as router_train
from search_cluster.cli import app as search_cluster


@pytest.mark.parametrize("app", [search_cluster, router_train])
def test_a_program_says_the_version_of_its_package(app: object) -> None:
    result = CliRunner().invoke(app, ["--version"])  # type: ignore[arg-type]
    assert (result.exit_code, result.output) == (0, f"search-cluster {version('search-cluster')}\n")


@pytest.mark.parametrize("app", [search_cluster, router_train])
def test_completion_is_offered_by_the_program_and_not_by_each_command(app: object) -> None:
    runner = CliRunner()
    assert "--install-completion" in runner.invoke(app, ["--help"]).output  # type: ignore[arg-type]
    help_ = runner.invoke(app, [app.registered_commands[0].name, "--help"])  # type: ignore[attr-defined,arg-type]
    assert help_.exit_code == 0
    assert "--install-completion" not in help_.output
