"""The figures of one experiment: a JSON file per row of the table."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from router_train.config import FitConfig
from router_train.evaluation.evaluate import EvaluationReport
from search_cluster.errors import ConfigError
from search_cluster.files import write_text_whole

RESULT_SCHEMA = 1
ELSEWHERE_SUFFIX = "-elsewhere"
"""The end of a row's name where a router is judged on other tasks than its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A router, or a bound, against the plain model on one split."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    n: int
    accuracy_plain: float
    accuracy_routed: float
    diff: float
    """The routed accuracy minus the plain one, with its bootstrap interval at 95 %; a bound has
    none."""
    diff_low: float | None
    diff_high: float | None
    p_value: float | None
    """The p-value of the exact McNemar test."""
    layers_saved_share: float
    layer_token_share: float | None
    """The layer-token work of the routed answers over that of the plain ones."""

    @classmethod
    def of(cls, report: EvaluationReport) -> "Figures":
        """The router's figures."""
        found = report.comparison
        return cls(
            n=found.n,
            accuracy_plain=found.accuracy_plain,
            accuracy_routed=found.accuracy_routed,
            diff=found.diff,
            diff_low=found.diff_low,
            diff_high=found.diff_high,
            p_value=found.p_value,
            layers_saved_share=report.layers_saved_share,
            layer_token_share=report.layer_token_share,
        )

    @classmethod
    def of_oracle(cls, report: EvaluationReport) -> "Figures":
        """The figures of somebody who knows the answers."""
        assert report.oracle is not None, "the oracle was asked for"
        found = report.comparison
        return cls(
            n=found.n,
            accuracy_plain=found.accuracy_plain,
            accuracy_routed=report.oracle.accuracy,
            diff=report.oracle.accuracy - found.accuracy_plain,
            diff_low=None,
            diff_high=None,
            p_value=None,
            layers_saved_share=1 - report.oracle.layers / report.layers_plain,
            layer_token_share=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultInputs:
    """Everything that a row depends on: equal inputs give equal rows."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = RESULT_SCHEMA
    corpus: str
    name: str
    config: FitConfig
    table: bool
    oracle: bool
    task: str
    task_version: str
    model_fingerprint: str
    corpus_digest: str
    table_digest: str
    limit: int | None
    """The largest number of questions per split; ``None`` takes all."""
    splits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished row."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    inputs: ResultInputs
    num_train: int
    metrics: dict[str, float]
    """The metrics of the training."""
    figures: dict[str, Figures]
    """The figures of each split."""
    commands: tuple[str, ...]
    """The commands that give the same router and the same figures by hand."""
    seconds: float
    """How long it took, in seconds. Features and verdicts that earlier rows had left behind are not
    counted."""
    versions: dict[str, str]

    @property
    def full_name(self) -> str:
        """The corpus and the name."""
        return f"{self.inputs.corpus}/{self.inputs.name}"


_RESULT = TypeAdapter(Result)


def write_result(file: Path, result: Result) -> None:
    """Write a row, atomically."""
    write_text_whole(file, _RESULT.dump_json(result, indent=2).decode() + "\n")


def read_result(file: Path) -> Result | None:
    """The row in a file; ``None`` if there is none yet.

    Raises:
        ConfigError: the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        return _RESULT.validate_json(file.read_bytes())
    except ValidationError as error:
        raise ConfigError(
            f"{file} is no row of the study ({error.errors()[0]['msg']}); delete it, and the study "
            "computes it again"
        ) from error
