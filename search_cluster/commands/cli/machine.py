"""``search-cluster doctor``: what works here."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import print_json
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption


@command(epilog="Example: search-cluster doctor")
def doctor(
    run: Annotated[
        Path, typer.Option(help="Where runs are to lie: its locks and renames are tried.")
    ] = Path(),
    json_output: JsonOption = False,
) -> None:
    """Check packages, devices, cache server, folders and memory; say what to do about what fails.

    Folders: caches, runs (locks, renames), temporary files, shared memory.
    """
    from search_cluster.commands.doctor import run_checks

    checks = run_checks(run)
    if json_output:
        print_json({"checks": checks, "ok": all(check["ok"] for check in checks)})
    else:
        for check in checks:
            print(
                f"{'ok     ' if check['ok'] else 'missing'} {check['name']:<14} {check['detail']}"
            )
            if check["advice"]:
                print(f"        {'':<14} -> {check['advice']}")
