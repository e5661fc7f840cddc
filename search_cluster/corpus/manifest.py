"""What a corpus is made of: where it comes from, its shards, its digest.

The manifest is written last, so a corpus without one is unfinished.
"""

import math
from dataclasses import dataclass, field, fields

from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.config import PRESET_ALIASES
from search_cluster.errors import ConfigError, CorpusError, InvalidValueError
from search_cluster.identity import ModelIdentity
from search_cluster.paths.cost import PathCosts
from search_cluster.paths.jumps import parse_jump

CORPUS_SCHEMA = 1
"""The version of the Parquet columns and of the manifest."""
MANIFEST_NAME = "manifest.json"
OWN_PACKAGE = "search-cluster"
SAME_SEARCH_VERSIONS = ("0.1.0",)
"""Versions of search-cluster that search as this one does: what they began is gone on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Everything that the records depend on.

    Two provenances that differ in the time alone are equal.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    model_spec: str
    """How the model was named: ``demo``, a hub id, or a folder."""
    chat: str = ""
    """Whether questions were asked in the tokenizer's chat template: ``always`` or ``never``; empty
    in corpora of former versions, which used the template that there was (``auto``)."""
    model_fingerprint: str
    """The fingerprint of the model's content (`search_cluster.model.load.fingerprint`)."""
    model_parts: dict[str, str] = field(default_factory=dict, compare=False)
    """A short hash of each part that the fingerprint covers, so that a difference has a name; empty
    in corpora that were written before it was recorded."""
    num_layers: int
    """The depth of the model."""
    dtype: str
    """The number format of the weights."""
    task: str
    """The name of the task."""
    task_version: str
    """Its version, which changes with prompts and grader."""
    split: str
    """The split that was searched."""
    preset: str
    """The name that the preset has today; a former name in an old file is read as today's."""
    seed: int
    """The seed of all random draws."""
    budget: int
    """The largest number of paths for an example, identity included."""
    leaves_per_round: int
    """The number of leaves that a round proposes."""
    visit_total: str | None = None
    """What V counts in the score, if the user chose; ``None`` stands for the preset's reading."""
    exploration: float | None = None
    """The constant c of the score, if the user chose; ``None`` stands for the preset's."""
    evidence: str = ""
    """What best paths had to prove, in words of the preset; empty if nothing."""
    study: str = ""
    """The digest of the scan that took the place of the preset's study; empty without one."""
    depth_prior: str = ""
    """The digest of what the preset's study knew of layers beforehand; empty if nothing."""
    limit: int | None
    """The largest number of examples; ``None`` stands for all of the split."""
    tie_threshold: float | None = field(default=None, compare=False)
    """The deciding gap up to which verdicts were computed again by the materialised model; 0.0 if
    none were. ``None`` stands in corpora of former versions, which did so for every dtype. It is
    part of the verdict context, which is compared."""
    arithmetic: str = ""
    """The device and the kernels that 16-bit verdicts depend on; empty for float32."""
    verdict_context: str = ""
    """The hash of all that a verdict depends on beside example and path: decoding, prompting and
    scoring versions, and more (`search_cluster.cache.keys.VerdictContext`). Verdicts of two
    contexts are never mixed, neither here nor in a cache. It is empty in corpora that were written
    before it was recorded."""
    bridge_jumps: tuple[str, ...] = field(default=(), compare=False)
    """The jumps of the model's bridges, such as ``16:20``: what they do is part of the model's
    fingerprint, this is for what paths cost. It is empty without bridges, and in corpora that were
    written before it was recorded."""
    bridge_layers: float = field(default=0.0, compare=False)
    """What crossing one of them costs, in layers."""
    schema: int = CORPUS_SCHEMA
    """The version of the columns."""
    versions: dict[str, str]
    """The versions of search-cluster, torch, transformers and python."""
    created_at: str = field(compare=False)
    """The time in ISO 8601, passed in by the caller. It says nothing about the content, so it is
    not compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "preset", PRESET_ALIASES.get(self.preset, self.preset))

    @property
    def costs(self) -> PathCosts:
        """What paths of the model cost."""
        bridged = (parse_jump(text, self.num_layers) for text in self.bridge_jumps)
        return PathCosts(bridged=frozenset(bridged), share=self.bridge_layers)

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        return _PROVENANCE.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> "Provenance":
        """The provenance in ``text``.

        Args:
            text: what `to_json` wrote.
            source: the file that it comes from, for messages.

        Raises:
            CorpusError: a field is missing, unknown, or of another type.
        """
        try:
            return _PROVENANCE.validate_json(text)
        except ValidationError as error:
            raise CorpusError(_complaint(source, "provenance", error, _SEARCH_AGAIN)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One Parquet file of a corpus."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    name: str
    """The path inside the corpus folder: ``data/shard-00000.parquet``."""
    num_rows: int
    """The number of examples in it."""
    sha256: str
    """The sha256 of the file's bytes, in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A finished corpus in short."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    provenance: Provenance
    """What the records depend on."""
    num_examples: int
    """The number of examples in all shards."""
    num_paths: int
    """The number of evaluated paths over all examples; failed ones are not counted."""
    corpus_digest: str
    """The digest that `search_cluster.corpus.digest` describes."""
    shards: tuple[Shard, ...]
    """The shards in the order of their numbers."""
    summary: dict[str, float | int | str]
    """Numbers of the run that wrote it, for people. JSON has no NaN, so numbers are finite."""

    def __post_init__(self) -> None:
        for name, value in self.summary.items():
            if not isinstance(value, float | int | str) or (
                isinstance(value, float) and not math.isfinite(value)
            ):
                raise InvalidValueError(
                    f"summary {name} is {value!r}; a summary holds finite numbers and texts"
                )

    def to_json(self) -> str:
        """Indented JSON that `from_json` reads back."""
        return _MANIFEST.dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> "Manifest":
        """The manifest in ``text``.

        Raises:
            CorpusError: a field is missing, unknown or of another type, or the schema is another
                one.
        """
        try:
            manifest = _MANIFEST.validate_json(text)
        except ValidationError as error:
            raise CorpusError(_complaint(source, "manifest", error, _WRITE_AGAIN)) from error
        if manifest.provenance.schema != CORPUS_SCHEMA:
            raise CorpusError(
                f"{source} has corpus schema {manifest.provenance.schema}; this version reads "
                f"schema {CORPUS_SCHEMA}: search again, or install the version that wrote it"
            )
        return manifest


_PROVENANCE = TypeAdapter(Provenance)
_MANIFEST = TypeAdapter(Manifest)


def require_same_provenance(found: Provenance, wanted: Provenance, folder: str) -> None:
    """Raise unless both are equal.

    Raises:
        ConfigError: they differ; the message names the first field that does, both values, and the
            way out.
    """
    for item in fields(Provenance):
        before, now = getattr(found, item.name), getattr(wanted, item.name)
        if (
            item.name == "versions"
            and before.get(OWN_PACKAGE) in SAME_SEARCH_VERSIONS
            and OWN_PACKAGE in now
        ):
            before = before | {OWN_PACKAGE: now[OWN_PACKAGE]}
        if item.compare and before != now:
            differing = (
                ModelIdentity(fingerprint="", parts=wanted.model_parts).differences(
                    found.model_parts
                )
                if item.name == "model_fingerprint"
                else ""
            )
            raise ConfigError(
                f"{folder} was started with {item.name} {before!r}, and this run has {now!r}"
                f"{differing}; a "
                f"corpus has one provenance: go on with {item.name} {before!r}, or choose another "
                "run folder"
            )


def require_same_task(provenance: Provenance, name: str, version: str) -> None:
    """Raise unless the task asks and grades as the one that the corpus was searched with.

    Raises:
        ConfigError: it does not.
    """
    if (name, version) != (provenance.task, provenance.task_version):
        raise ConfigError(
            f"task {name} has version {version}, the corpus was searched with version "
            f"{provenance.task_version} of {provenance.task}; verdicts of both can't be mixed: "
            "pass --task with the task's file, install the version that searched the corpus, or "
            "search again in a new folder"
        )


def require_same_model(provenance: Provenance, spec: str, model: ModelIdentity) -> None:
    """Raise unless the model is the one that the corpus was searched with.

    Raises:
        ConfigError: it is not; the message names the parts that differ.
    """
    if not model.is_known_as(provenance.model_fingerprint):
        raise ConfigError(
            f"model {spec} has the fingerprint {model.fingerprint}, the corpus was searched with "
            f"{provenance.model_fingerprint}{model.differences(provenance.model_parts)}; pass "
            "--model with the same weights and tokenizer"
        )


_WRITE_AGAIN = (
    "run the same search again: it writes the manifest anew from the shards, and searches "
    "nothing twice"
)
_SEARCH_AGAIN = "search again in a new folder"


def _complaint(source: str, kind: str, error: ValidationError, next_step: str) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the text"
    return (
        f"{source} does not hold a {kind} of corpus schema {CORPUS_SCHEMA}: {place}: "
        f"{first['msg']}; the file was changed or written by another version: {next_step}"
    )
