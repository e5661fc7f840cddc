"""Answers of an evaluation, one JSON line per question.

They are appended as they are given, so running again continues.

A file belongs to one key (model, router, threshold, task and their versions); its name carries the
key's hash and its first line the key itself. Whoever is interrupted loses at most the questions at
hand.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

PREDICTIONS_FOLDER = "evaluations"
"""The folder inside the router's folder."""
PREDICTIONS_SCHEMA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How one question was answered by the plain and by the routed model."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    example_id: str
    plain_reward: float
    plain_output: str
    plain_layer_tokens: int
    routed_reward: float
    routed_output: str
    routed_layer_tokens: int
    routing_layer_tokens: int
    """The number of (layer, token) applications that choosing the path cost on top of the answer:
    those of layers that the chosen path has no use for."""
    layers: tuple[int, ...]
    """The layers of the routed path."""
    confidence: float
    num_fallbacks: int
    failure: str
    """The error of an answer that could not be given and counts as wrong; empty if both were
    given."""
    others: dict[str, float]
    """The rewards of paths that were run beside, by the path's text."""
    plain_cut: bool | None = None
    """Whether the plain answer ended for want of tokens; ``None`` if that is not known: of choices,
    and in logs that did not keep it."""
    routed_cut: bool | None = None
    """The same of the routed answer."""
    reading_layer_tokens: float = 0.0
    """What reading states on the way and crossing bridges cost, in (layer, token) applications; 0
    in logs that did not keep it, whose routers did neither."""

    @property
    def layers_reading(self) -> float:
        """`reading_layer_tokens` in layers of all tokens; 0 where there is no routed answer."""
        num_tokens = self.routed_layer_tokens / len(self.layers)
        return self.reading_layer_tokens / num_tokens if num_tokens else 0.0


_PREDICTION = TypeAdapter(Prediction)


class PredictionLog:
    """The predictions of one key: those on disk at the start, and those added since."""

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        header = json.dumps({"schema": PREDICTIONS_SCHEMA, **key}, sort_keys=True)
        self._file = folder / f"{hashlib.sha256(header.encode()).hexdigest()[:16]}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._known = self._read(header)

    def get(self, example_id: str) -> Prediction | None:
        """The prediction for a question, if it was answered before."""
        return self._known.get(example_id)

    def add(self, prediction: Prediction) -> None:
        """Append a prediction; it is on its way to the disk when this returns."""
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(prediction)) + "\n")
        self._known[prediction.example_id] = prediction

    def _read(self, header: str) -> dict[str, Prediction]:
        """What is on disk.

        Lines that an interruption cut are dropped from the file with a message, and answered again.
        """
        lines = (
            self._file.read_text(encoding="utf-8", errors="replace").splitlines()
            if self._file.is_file()
            else []
        )
        known: dict[str, Prediction] = {}
        num_damaged = 0
        for line in lines[1:]:
            try:
                prediction = _PREDICTION.validate_json(line)
            except ValidationError:
                num_damaged += 1
            else:
                known[prediction.example_id] = prediction
        if num_damaged:
            print(
                f"{self._file}: {num_damaged} cut lines are dropped and answered again",
                file=sys.stderr,
            )
        self._rewrite(header, known)
        return known

    def _rewrite(self, header: str, known: Mapping[str, Prediction]) -> None:
        unfinished = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        rows = [header, *(json.dumps(asdict(row)) for row in known.values())]
        unfinished.write_text("\n".join(rows) + "\n", encoding="utf-8")
        unfinished.replace(self._file)
