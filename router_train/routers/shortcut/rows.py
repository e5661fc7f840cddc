"""The rows that a readout is taught by and judged on, of questions and of texts.

Shapes: S sources, N rows, D width, C choices.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from router_train.data.feature_store import stored_parts
from router_train.routers.shortcut.recording import ReadoutRecorder
from search_cluster.console import track
from search_cluster.errors import PromptError
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task

Chain = tuple[tuple[int, int], ...]
"""A row, counted in its unit, and the token that it should predict, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A question with its choices, or a text: what is one in every mean."""

    name: str
    """The example's id, or a hash of the text."""
    chains: tuple[Chain, ...]
    """For each choice its tokens; one chain where there is nothing to choose."""
    gold: int
    """The chain that is right."""
    tokens: tuple[int, ...]
    """For each row the token that stands there, as the model reads it."""
    places: tuple[int, ...]
    """For each row how far it is from the end of the prompt, or from the start of the text."""
    is_text: bool = False
    first: int = 0
    """Its first row among those of all units."""

    @property
    def is_asked(self) -> bool:
        """Whether it has choices."""
        return len(self.chains) > 1

    @property
    def rows(self) -> slice:
        """Its rows among those of all units."""
        return slice(self.first, self.first + len(self.tokens))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rows:
    """States of the rows of some units, in float32 and in main memory."""

    change_NSD: Tensor
    """What each source changed."""
    final_ND: Tensor
    """At the end of the path, before the final norm."""
    full_ND: Tensor
    """At the end of the full model, which is the frozen one along its plain path."""
    units: tuple[Unit, ...]
    """With their places among the rows."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Source:
    """Where the rows come from: a model along a path."""

    loaded: LoadedModel
    path: LayerPath
    sources: tuple[int, ...]
    folder: Any
    """Where rows are kept for the next training; ``None``: nowhere."""
    key: Mapping[str, Any]
    """What they depend on beside the units, as JSON."""
    seed: int

    def of_examples(self, task: Task, examples: Sequence[Example]) -> Rows:
        """The rows of questions; those that can't be asked are left out."""
        asked = []
        for example in examples:
            try:
                encoded = encode_example(self.loaded, task, example)
            except PromptError:
                continue
            unit = _unit_of(self.loaded, task, example, encoded)
            if unit is not None:
                asked.append((unit, encoded))
        return self._rows(asked, "questions", {"task": [task.name, task.version]})

    def of_texts(self, sequences: Iterable[TokenSequence]) -> Rows:
        """The rows of texts."""
        units = [
            (
                Unit(
                    name=hashlib.sha256(repr(text.ids).encode()).hexdigest()[:24],
                    chains=(tuple(enumerate(text.ids[1:])),),
                    gold=0,
                    tokens=text.ids[:-1],
                    places=tuple(range(len(text.ids) - 1)),
                    is_text=True,
                ),
                text,
            )
            for text in sequences
            if len(text.ids) > 1
        ]
        return self._rows(units, "texts", {})

    def _rows(
        self,
        items: Sequence[tuple[Unit, EncodedExample | TokenSequence]],
        what: str,
        key: Mapping[str, Any],
    ) -> Rows:
        width = int(self.loaded.model.config.hidden_size)
        if not items:
            empty_ND = torch.zeros(0, width)
            return Rows(
                change_NSD=torch.zeros(0, len(self.sources), width),
                final_ND=empty_ND,
                full_ND=empty_ND,
                units=(),
            )
        along = ReadoutRecorder(self.loaded, self.path, self.sources)
        identity = LayerPath.identity(self.loaded.num_layers)
        whole = None if self.path.is_identity else ReadoutRecorder(self.loaded, identity, ())

        def compute(
            part: Sequence[tuple[Unit, EncodedExample | TokenSequence]],
        ) -> dict[str, Tensor]:
            kept, full = [], []
            for unit, asked in track(part, f"{what} read along the path"):
                kept.append(_states(along, unit, asked))
                full.append(kept[-1][-1] if whole is None else _states(whole, unit, asked)[-1])
            return {
                "states_NSD": torch.cat(kept, dim=1).transpose(0, 1).contiguous(),
                "full_ND": torch.cat(full).contiguous(),
            }

        parts: dict[int, tuple[Tensor, Tensor]] = {}
        for places, found in stored_parts(
            self.folder,
            {**self.key, **key, "what": f"readout of {what}", "path": str(self.path),
             "sources": list(self.sources)},
            items,
            seed=self.seed,
            name=lambda item: [item[0].name, len(item[0].tokens)],
            compute=compute,
        ):  # fmt: skip
            lengths = [len(items[place][0].tokens) for place in places]
            states, full = (torch.split(found[name], lengths) for name in ("states_NSD", "full_ND"))
            parts.update(zip(places, zip(states, full, strict=True), strict=True))
        ordered = [parts[place] for place in range(len(items))]
        states_NSD = torch.cat([states for states, _ in ordered])
        units, first = [], 0
        for unit, _ in items:
            units.append(replace(unit, first=first))
            first += len(unit.tokens)
        return Rows(
            change_NSD=states_NSD[:, :-1],
            final_ND=states_NSD[:, -1],
            full_ND=torch.cat([full for _, full in ordered]),
            units=tuple(units),
        )


def joined(first: Rows, second: Rows) -> Rows:
    """The rows of both, whose units keep their order."""
    behind = len(first.final_ND)
    return Rows(
        change_NSD=torch.cat([first.change_NSD, second.change_NSD]),
        final_ND=torch.cat([first.final_ND, second.final_ND]),
        full_ND=torch.cat([first.full_ND, second.full_ND]),
        units=(
            *first.units,
            *(replace(unit, first=unit.first + behind) for unit in second.units),
        ),
    )


def index_of(units: Iterable[Unit]) -> Tensor:
    """The places of units' rows among those of all units, one unit behind the other."""
    return torch.cat([torch.arange(unit.rows.start, unit.rows.stop) for unit in units])


def _states(recorder: ReadoutRecorder, unit: Unit, asked: EncodedExample | TokenSequence) -> Tensor:
    """The states ``[S + 1, N, D]`` of a unit's rows."""
    if isinstance(asked, TokenSequence):
        states_SND = recorder.read(asked.ids)[:, :-1]
    elif unit.is_asked:
        states_SND = recorder.record(asked).states_SND
    else:
        gold = [token for _, token in unit.chains[0]]
        begin = len(asked.context_ids) - 1
        states_SND = recorder.read((*asked.context_ids, *gold))[:, begin:-1]
    # A copy: what the model gives in inference mode takes no part in a descent.
    return states_SND.float().cpu().clone()


def _unit_of(
    loaded: LoadedModel, task: Task, example: Example, encoded: EncodedExample
) -> Unit | None:
    """A question's unit; ``None`` if its answer has no tokens."""
    choices = [tuple(ids) for ids in encoded.choice_ids]
    if not choices:
        gold = loaded.tokenizer(example.gold, add_special_tokens=False)["input_ids"]
        choices = [tuple(gold[: task.max_new_tokens])]
    if not all(choices):
        return None
    rows: dict[tuple[int, ...], int] = {}  # choices that begin alike share rows
    chains = []
    for ids in choices:
        begun = [ids[:length] for length in range(len(ids))]
        chains.append(
            tuple(
                (rows.setdefault(before, len(rows)), token)
                for before, token in zip(begun, ids, strict=True)
            )
        )
    return Unit(
        name=example.example_id,
        chains=tuple(chains),
        gold=example.gold_index or 0,
        tokens=tuple((encoded.context_ids[-1], *before)[-1] for before in rows),
        places=tuple(map(len, rows)),
    )
