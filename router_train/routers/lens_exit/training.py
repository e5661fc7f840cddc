"""Training a `LensExitRouter`: where does an answer that the lens reads do no worse?

Shapes: N questions, K depths.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from router_train.config import EXIT_TOKEN
from router_train.data.facts import fact_hashes
from router_train.data.feature_store import stored_features, stored_rows
from router_train.data.operating_point import OperatingPoint
from router_train.routers.base import FitInputs, Fitted, Settings
from router_train.routers.fixed import path_of_config
from router_train.routers.lens_exit.choosing import choose_exits, never
from router_train.routers.lens_exit.classifier import (
    CHOICES,
    TOKENS,
    VOCABULARY,
    ExitClassifier,
)
from router_train.routers.lens_exit.evidence import ExitCosts, ExitEvidence
from router_train.routers.lens_exit.exit_paths import at_depths, exit_depths
from router_train.routers.lens_exit.named_lens import load_named_lens
from router_train.routers.lens_exit.observing import ExitObserver
from router_train.routers.lens_exit.readings import read_cost
from router_train.routers.lens_exit.restoring import restore_lens_exit
from router_train.routers.lens_exit.router import LensExitRouter
from router_train.routers.lens_exit.task_lens import TaskLens, fit_task_lens
from router_train.routers.lens_exit.token_observing import TokenObserver, token_evidence
from search_cluster.errors import CorpusError, ModelError
from search_cluster.model.bridge.bridges import bridges_of, share_of_layer
from search_cluster.model.lens.folder import lens_digest
from search_cluster.model.lens.lens import Lens
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import PROMPTING_VERSION, encode_example
from search_cluster.model.scoring import SCORING_VERSIONS
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import AnswerKind

MOST_TEXTS = 200
"""The number of questions, at most, behind whose prompts tokens are read one by one."""
_Chosen = tuple[ExitClassifier, OperatingPoint]


@dataclass(frozen=True, slots=True)
class LensExitKind:
    """The kind that trains and restores `LensExitRouter`."""

    name: str = "lens-exit"
    needs_model: bool = True

    def fit(self, inputs: FitInputs) -> Fitted:
        """A lens, and classifiers with the thresholds that meet floor and budget out of fold.

        There are two, one that reads the choices' tokens and one that reads the vocabulary, for
        prompts of which no choices are known or for each generated token. The metrics are of the
        way in which the task is asked.

        Raises:
            CorpusError: there are too few questions to learn from.
            ConfigError: the path can't be left early, or the lens that is named was fitted to
                this task.
            InvalidPathError: it is no path of the model.
            ModelError: the model has bridges.
        """
        loaded, config = _model(inputs), inputs.config
        if bridges_of(loaded.model) is not None:
            raise ModelError(
                f"model {loaded.spec!r} has bridges; a lens exit brings its own to the final norm: "
                "fit it to a corpus of the model without bridges"
            )
        path = path_of_config(inputs)
        depths = exit_depths(path)
        examples = select_examples(inputs.examples, config.train_limit, config.seed)
        facts = fact_hashes(inputs.examples)
        teaching = _Teaching(
            inputs=inputs,
            path=path,
            depths=depths,
            halves=_halves(examples, facts),
            facts=facts,
        )
        lens = teaching.lens()
        asks_choices = inputs.task.kind is AnswerKind.CHOICE
        by_token = config.exit_by == EXIT_TOKEN
        # By token nothing but choices is answered per prompt.
        asked = ([CHOICES] if asks_choices else []) + ([] if by_token else [VOCABULARY])
        found: dict[str, _Chosen] = teaching.of_prompts(lens, asked) if asked else {}
        if by_token:
            found[TOKENS] = teaching.of_tokens(lens)
        classifiers = {name: found[name][0] for name in found}
        if not asks_choices and not by_token:  # nothing but the vocabulary is ever read
            classifiers[CHOICES] = classifiers[VOCABULARY]
        classifiers = {CHOICES: never(), VOCABULARY: never(), **classifiers}
        router = LensExitRouter(
            path=path,
            depths=depths,
            weight_KDD=lens.lens.weight_LDD,
            bias_KD=lens.lens.bias_LD,
            classifiers=classifiers,
        )
        name = CHOICES if asks_choices else TOKENS if by_token else VOCABULARY
        metrics = found[name][1].metrics()
        if by_token and name != TOKENS:
            metrics |= found[TOKENS][1].metrics(TOKENS)
        return Fitted(
            router=router,
            metrics=metrics,
            judged_on="the questions that chose how careful the choice is (out of fold: others "
            "chose depths, classifier and threshold for each)",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> LensExitRouter:
        """The router of these settings and weights."""
        return restore_lens_exit(settings, tensors)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Teaching:
    """The questions that teach, in two halves, and what is seen of them."""

    inputs: FitInputs
    path: LayerPath
    depths: tuple[int, ...]
    halves: tuple[list[Example], list[Example]]
    facts: Mapping[str, int]
    """Equal numbers for questions that ask for one fact, by example id."""

    def lens(self) -> TaskLens:
        """The translators of these depths, of the lens that is named or one of these questions."""
        loaded, named = _model(self.inputs), self.inputs.config.lens
        if named is not None:
            lens = at_depths(
                load_named_lens(Path(named), loaded, self.inputs.task), self.path, self.depths
            )
            return TaskLens(lens=lens, of_halves=(lens, lens))

        def compute() -> dict[str, Tensor]:
            return fit_task_lens(
                loaded, self.inputs.task, self.halves, self.facts, self.path, self.depths
            ).tensors()

        items = [[example.example_id for example in half] for half in self.halves]
        key = {**self._key(), "what": "lenses of facts", "items": items}
        return TaskLens.restored(stored_features(self.inputs.feature_folder, key, compute))

    def of_prompts(self, lens: TaskLens, readings: Sequence[str]) -> dict[str, _Chosen]:
        """What is chosen for prompts, by what is read of them."""
        inputs, loaded = self.inputs, _model(self.inputs)
        parts: list[dict[str, Tensor]] = []
        groups: list[int] = []
        for half, of_other in zip(self.halves, reversed(lens.of_halves), strict=True):
            observer = ExitObserver(
                loaded=loaded, task=inputs.task, path=self.path, depths=self.depths, lens=of_other
            )
            parts.append(self._stored(half, {"what": "lens exit"}, of_other, observer.observe))
            groups += [self.facts[example.example_id] for example in half]
        observed = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        examples = [example for half in self.halves for example in half]
        return {
            reading: choose_exits(
                ExitEvidence.of(observed, reading, np.array(groups, dtype=np.uint64)),
                self._costs(reading, examples),
                inputs.config,
            )
            for reading in readings
        }

    def of_tokens(self, lens: TaskLens) -> _Chosen:
        """What is chosen for tokens that stop by themselves."""
        inputs, label = self.inputs, self.inputs.config.exit_label
        parts: list[dict[str, Tensor]] = []
        groups: list[int] = []
        for half, of_other in zip(self.halves, reversed(lens.of_halves), strict=True):
            texts = select_examples(half, MOST_TEXTS // 2, inputs.config.seed)
            observer = TokenObserver(
                loaded=_model(inputs),
                task=inputs.task,
                path=self.path,
                depths=self.depths,
                lens=of_other,
                label=label,
            )
            key = {"what": "lens exit by token", "label": label}
            parts.append(self._stored(texts, key, of_other, observer.observe))
            groups += [self.facts[example.example_id] for example in texts]
        observed = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return choose_exits(
            token_evidence(observed, np.array(groups, dtype=np.uint64)),
            self._costs(TOKENS, ()),
            inputs.config,
        )

    def _stored(
        self,
        examples: Sequence[Example],
        key: Mapping[str, object],
        lens: Lens,
        compute: Callable[[Sequence[Example]], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        return stored_rows(
            self.inputs.feature_folder,
            {**self._key(), **key, "lens": lens_digest(lens)},
            examples,
            seed=self.inputs.config.seed,
            name=lambda example: [example.example_id],
            compute=compute,
        )

    def _costs(self, reading: str, examples: Sequence[Example]) -> ExitCosts:
        loaded = _model(self.inputs)
        num_read = int(loaded.model.config.vocab_size)
        if reading == CHOICES:
            num_read = max(
                len(encode_example(loaded, self.inputs.task, example).choice_ids)
                for example in examples
            )
        return ExitCosts(
            num_layers=len(self.path),
            depths=self.depths,
            read=read_cost(loaded.model, num_read),
            bridge=share_of_layer(loaded.model),
        )

    def _key(self) -> dict[str, object]:
        model, task = _model(self.inputs), self.inputs.task
        scoring = SCORING_VERSIONS[model.dtype]
        return {
            "model": model.fingerprint,
            "task": [task.name, task.version, PROMPTING_VERSION, scoring],
            "path": str(self.path),
            "depths": list(self.depths),
        }


def _halves(
    examples: Sequence[Example], facts: Mapping[str, int]
) -> tuple[list[Example], list[Example]]:
    """Two parts of the questions, about as large; those of one fact stay together."""
    ranked = sorted({facts[example.example_id] for example in examples})
    if len(ranked) < 2:
        raise CorpusError(
            f"{len(examples)} examples can teach; a lens exit needs at least 2 different questions "
            "that share no fact: let more teach (--train-limit), or search more (--limit)"
        )
    of_first = set(ranked[::2])
    return (
        [example for example in examples if facts[example.example_id] in of_first],
        [example for example in examples if facts[example.example_id] not in of_first],
    )


def _model(inputs: FitInputs) -> LoadedModel:
    assert inputs.loaded is not None, "the kind says that it needs a model"
    return inputs.loaded
