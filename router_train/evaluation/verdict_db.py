"""Verdicts on disk that several evaluations of one model share.

Each (question, path) is computed once, for whoever asks first.

One SQLite file; a row belongs to a context that names everything else a verdict depends on.
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from search_cluster.model.engine.executor import Outcome
from search_cluster.model.kernels import kernels_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import PROMPTING_VERSION
from search_cluster.model.scoring import SCORING_VERSIONS
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

_CREATE = """
CREATE TABLE IF NOT EXISTS verdicts (
  context TEXT, example_id TEXT, path TEXT, reward REAL, margin REAL, output TEXT,
  num_layer_tokens INTEGER,
  PRIMARY KEY (context, example_id, path)
) WITHOUT ROWID
"""


class PathAnswers(Protocol):
    """What evaluates paths: the fast engine, or something in front of it."""

    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> Sequence[Outcome]:
        """One outcome per request, in their order."""
        ...


class VerdictDb:
    """Implements `PathAnswers` over a file and an engine; a context manager.

    What is on disk is read; the rest is computed and stored.

    Failures are not stored: whoever asks again tries again.

    Args:
        file: the file, which is created if it is missing.
        engine: what answers what is not known.
        loaded: the model that the engine runs.
        task: the task for which it asks and grades.
        tie_threshold: the gap up to which the engine has verdicts recomputed.
    """

    def __init__(
        self,
        file: Path,
        engine: PathAnswers,
        loaded: LoadedModel,
        task: Task,
        *,
        tie_threshold: float,
    ) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._engine = engine
        versions = [PROMPTING_VERSION, SCORING_VERSIONS[loaded.dtype], tie_threshold]
        parts = [loaded.fingerprint, task.name, task.version, *versions]
        if arithmetic := kernels_of(loaded.device, loaded.dtype):
            parts.append(arithmetic)
        self._context = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        self._database = sqlite3.connect(file)
        self._database.execute(_CREATE)

    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        """One outcome per request, in their order; the engine sees each unknown pair once."""
        known = {
            (example.example_id, path): self._read(example, path) for example, path in requests
        }
        waiting = list(
            {
                (e.example_id, p): (e, p) for e, p in requests if known[e.example_id, p] is None
            }.values()
        )
        answers: dict[tuple[str, LayerPath], Outcome] = {
            key: value for key, value in known.items() if value
        }
        if waiting:
            for (example, path), outcome in zip(
                waiting, self._engine.evaluate(waiting), strict=True
            ):
                answers[example.example_id, path] = outcome
                if isinstance(outcome, Verdict):
                    self._write(example, path, outcome)
            self._database.commit()
        return [answers[example.example_id, path] for example, path in requests]

    def _read(self, example: Example, path: LayerPath) -> Verdict | None:
        found = self._database.execute(
            "SELECT reward, margin, output, num_layer_tokens FROM verdicts "
            "WHERE context = ? AND example_id = ? AND path = ?",
            (self._context, example.example_id, str(path)),
        ).fetchone()
        if found is None:
            return None
        reward, margin, output, num_layer_tokens = found
        return Verdict(
            reward=reward, margin=margin, output=output, num_layer_tokens=num_layer_tokens
        )

    def _write(self, example: Example, path: LayerPath, verdict: Verdict) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._context,
                example.example_id,
                str(path),
                verdict.reward,
                verdict.margin,
                verdict.output,
                verdict.num_layer_tokens,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
