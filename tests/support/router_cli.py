"""``router-train`` in this process, and a place with all that a fit needs."""

import json
from pathlib import Path

from support import tiny
from support.router_corpus import TASK_FILE, record, write_corpus
from typer.testing import CliRunner, Result

from router_train.cli import app
from search_cluster.model.load.loading import load_model
from search_cluster.tasks.registry import get_task


def call(*arguments: object, code: int = 0) -> Result:
    """Run a command, which ends with this exit code."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return done


def json_of(*arguments: object) -> dict[str, object]:
    """What a command prints with ``--json``."""
    value: dict[str, object] = json.loads(call(*arguments, "--json").stdout.splitlines()[-1])
    return value


def furnish(place: Path) -> None:
    """Put ``model``, ``fruit.py`` and ``corpus`` into a folder; all best paths skip layer 3."""
    tiny.save_tiny_model(place / "model")
    (place / "fruit.py").write_text(TASK_FILE)
    task = get_task(str(place / "fruit.py"))
    write_corpus(
        place / "corpus",
        [record(example, (1, 1, 1, 0, 1, 1)) for example in task.load("train", None).examples],
        task=task,
        model_spec=str(place / "model"),
        fingerprint=load_model(str(place / "model")).fingerprint,
    )
