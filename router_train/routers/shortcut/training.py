"""Training a `ShortcutRouter`, and what stands beside it at equal cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from router_train.config import LEARN_FULL, READOUT_BEST, READOUT_MIX, READOUT_SINGLE, FitConfig
from router_train.data.facts import fact_places
from router_train.distributed import current_process_group
from router_train.routers.base import FitInputs, Fitted, Settings
from router_train.routers.curve import CurveWriter
from router_train.routers.fixed import path_of_config
from router_train.routers.shortcut.attention import as_json as attention_as_json
from router_train.routers.shortcut.attention import attention_of
from router_train.routers.shortcut.comparison import comparison, comparison_lines
from router_train.routers.shortcut.fitting import Parts, fit_readouts
from router_train.routers.shortcut.page import page_of
from router_train.routers.shortcut.router import ShortcutRouter, restore_shortcut
from router_train.routers.shortcut.rows import Rows, Source, joined
from search_cluster.console import say
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.files import write_text_whole
from search_cluster.model.lens.texts import TokenSequence, texts_of_file
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import PROMPTING_VERSION
from search_cluster.model.scoring import SCORING_VERSIONS
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.selection import select_examples

NUM_SOURCES = 6
"""So many layers of a path are read, evenly spaced, unless the user names some."""
JSON_NAME, PAGE_NAME = "shortcut.json", "shortcut.html"
TEXT_LENGTH = 64
"""The tokens of a piece of text, which is a unit as a question is."""
PIECES_PER_JUDGED = 10
"""One piece of text in so many is held out, and the one before it stops the training."""


@dataclass(frozen=True, slots=True)
class ShortcutKind:
    """The kind that trains and restores `ShortcutRouter`."""

    name: str = "shortcut"
    needs_model: bool = True

    def fit(self, inputs: FitInputs) -> Fitted:
        """A shortcut of one path, beside the path alone and simpler readouts of equal cost.

        One of those that attend, mix or take one source is kept, as the settings ask.

        Validation questions only judge. Of the others, which the limit may cut, the share of
        validation stops the training and the rest teaches.

        Raises:
            ConfigError: path, sources, readout and what is learned do not fit together.
            CorpusError: there are too few questions.
        """
        loaded, config = inputs.loaded, inputs.config
        assert loaded is not None, "the kind says that it needs a model"
        path = path_of_config(inputs)
        sources = sources_of(config.sources, path)
        _require_fitting(config, path, sources)
        rows, parts = _rows(inputs, loaded, path, sources)
        leads = current_process_group().leads
        with CurveWriter(inputs.curve_file) as curve:
            readouts = fit_readouts(loaded, rows, parts, sources, config, curve)
        kept = readouts.kept
        fact_of = facts_of(inputs.examples)
        facts = [fact_of[unit.name] for unit in parts.judged]
        table = comparison(readouts.candidates, readouts.name, facts)
        attention = attention_of(kept, rows, [*parts.judged, *parts.judged_texts], loaded.tokenizer)
        found = {
            "path": str(path),
            "sources": list(kept.shortcut.sources),
            "rank": kept.shortcut.rank,
            "num_heads": kept.shortcut.num_heads,
            "readout": readouts.kind,
            "learn": config.learn,
            "num_teaching": len(parts.teaching),
            "num_stopping": len(parts.stopping),
            "readouts": table,
            "attention": attention_as_json(attention),
        }
        if config.readout == READOUT_BEST:
            found["chosen_by"] = {"stopping_loss": dict(readouts.stopping_losses)}
        if leads:
            _write(inputs.curve_file.parent, found)
        return Fitted(
            router=ShortcutRouter(path, kept.shortcut),
            metrics=_metrics(table),
            judged_on="held-out questions of the corpus, which taught and stopped nothing; nor "
            "did others that ask for their facts",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> ShortcutRouter:
        """The router of these settings and weights."""
        return restore_shortcut(settings, tensors)


def sources_of(named: str | None, path: LayerPath) -> tuple[int, ...]:
    """The layers that are read, ascending: those that are named, or some of a path.

    Raises:
        ConfigError: one is no layer of the path, or none is named.
    """
    ran = sorted(set(path.layers))
    if named is None:
        count = min(NUM_SOURCES, len(ran))
        return tuple(ran[len(ran) * (place + 1) // count - 1] for place in range(count))
    try:
        sources = sorted({int(part) for part in named.split(",")})
    except ValueError as error:
        raise ConfigError(
            f"sources is {named!r}; it must be layers with commas between them, such as 4,9,14"
        ) from error
    missing = [source for source in sources if source not in ran]
    if missing:
        raise ConfigError(
            f"sources {named!r} name layer {missing[0]}, which path {path} does not run; name "
            "some that run"
        )
    return tuple(sources)


def _require_fitting(config: FitConfig, path: LayerPath, sources: tuple[int, ...]) -> None:
    if config.learn == LEARN_FULL and path.is_identity:
        raise ConfigError(
            f"learn is {config.learn!r} and the path is the plain one, so there is nothing to "
            "learn: name a path with --path that leaves layers out, or learn answer or tokens"
        )
    if config.readout in (READOUT_MIX, READOUT_SINGLE) and len(sources) < 2:
        raise ConfigError(
            f"readout is {config.readout!r} and layer {sources[0]} is the only source, of which "
            "all readouts are the same: leave --readout out, or name more layers with --sources"
        )


def _rows(
    inputs: FitInputs, loaded: LoadedModel, path: LayerPath, sources: tuple[int, ...]
) -> tuple[Rows, Parts]:
    config = inputs.config
    teaching, stopping, judged = parts_of(
        inputs.examples, config.validation_share, config.train_limit, config.seed
    )
    source = Source(
        loaded=loaded,
        path=path,
        sources=sources,
        folder=inputs.feature_folder,
        key={
            "model": loaded.fingerprint,
            "asked": [PROMPTING_VERSION, SCORING_VERSIONS[loaded.dtype]],
        },
        seed=config.seed,
    )
    texts: tuple[TokenSequence, ...] = ()
    if config.text is not None:
        texts = texts_of_file(
            loaded, Path(config.text), num_tokens=config.text_tokens, length=TEXT_LENGTH
        ).sequences
    questions = source.of_examples(inputs.task, [*teaching, *stopping, *judged])
    rows = joined(questions, source.of_texts(texts))
    role = {
        **{example.example_id: "teaching" for example in teaching},
        **{example.example_id: "stopping" for example in stopping},
        **{example.example_id: "judged" for example in judged},
    }
    pieces = [unit for unit in rows.units if unit.is_text]
    of_role: dict[str, list[Any]] = {name: [] for name in ("teaching", "stopping", "judged")}
    for unit in rows.units:
        if not unit.is_text:
            of_role[role[unit.name]].append(unit)
    judged_texts = []
    for number, unit in enumerate(pieces):
        turn = number % PIECES_PER_JUDGED
        if turn == PIECES_PER_JUDGED - 1:
            judged_texts.append(unit)
        else:
            of_role["stopping" if turn == PIECES_PER_JUDGED - 2 else "teaching"].append(unit)
    if not all(of_role.values()):
        raise CorpusError(
            "no question is left to "
            f"{' or '.join(name for name, units in of_role.items() if not units)} with; search "
            "more examples (--limit)"
        )
    return rows, Parts(
        teaching=tuple(of_role["teaching"]),
        stopping=tuple(of_role["stopping"]),
        judged=tuple(of_role["judged"]),
        judged_texts=tuple(judged_texts),
    )


def parts_of(
    examples: Sequence[Example], share: float, limit: int | None, seed: int
) -> tuple[list[Example], list[Example], list[Example]]:
    """The questions that teach, that stop the training, and that judge; none share a fact.

    Those that judge are the validation questions of all routers, which no limit cuts.

    Raises:
        CorpusError: there are too few questions of different facts.
    """
    places = fact_places(examples)
    judging = {place for place in places.values() if place < share * 2**64}
    judging = judging or {min(places.values(), default=0)}
    judged = [example for example in examples if places[example.example_id] in judging]
    new = [example for example in examples if places[example.example_id] not in judging]
    rest = select_examples(new, limit, seed)
    ranked = sorted({places[example.example_id] for example in rest})
    if len(ranked) < 2:
        raise CorpusError(
            f"{len(examples)} examples can teach, of which {len(judged)} judge; a shortcut needs "
            "at least 3 different questions that share no fact: one that teaches, one that stops "
            "the training and one that judges: search more (--limit), or let more teach "
            "(--train-limit)"
        )
    stops = {place for place in ranked if place >= (1 - share) * 2**64} or {ranked[-1]}
    if len(stops) == len(ranked):
        stops.remove(ranked[0])
    return (
        [example for example in rest if places[example.example_id] not in stops],
        [example for example in rest if places[example.example_id] in stops],
        judged,
    )


def _metrics(table: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found = {"held_out_questions": float(table[0]["n"])}
    for row in table:
        names = [str(row["name"]).replace(" ", "_")]
        if row["is_router"]:
            names.append("router")
        for name in names:
            found |= {
                f"accuracy_{name}": row["accuracy"],
                f"loss_{name}": row["loss"],
                f"kl_to_full_{name}": row["kl_to_full"],
            }
    return found


def _write(folder: Path, found: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_text_whole(folder / JSON_NAME, json.dumps(found, indent=2) + "\n")
    write_text_whole(folder / PAGE_NAME, page_of(found))
    for line in (*comparison_lines(found["readouts"]), *found["attention"]["alarms"]):
        say(line)
    say(f"who looked where: {folder / PAGE_NAME}")
