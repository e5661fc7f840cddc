"""Training a `LensExitRouter`: where does an answer that the lens reads do no worse?

Shapes: N questions, K depths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from router_train.data.feature_store import stored_features, stored_rows
from router_train.data.labels import question_hashes
from router_train.routers.base import FitInputs, Fitted, Settings
from router_train.routers.lens_exit.choosing import ExitCosts, ExitEvidence, choose_exits
from router_train.routers.lens_exit.observing import (
    ExitObserver,
    at_depths,
    exit_depths,
)
from router_train.routers.lens_exit.readings import read_cost
from router_train.routers.lens_exit.router import (
    CHOICES,
    VOCABULARY,
    LensExitRouter,
    restore_lens_exit,
)
from router_train.routers.lens_exit.task_lens import fit_task_lens
from search_cluster.errors import CorpusError, ModelError
from search_cluster.model.bridge.bridges import bridges_of, share_of_layer
from search_cluster.model.lens.folder import lens_digest, load_lens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import PROMPTING_VERSION, encode_example
from search_cluster.model.scoring import SCORING_VERSIONS
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import AnswerKind

LENS_SHARE = 0.3
"""The share of questions to which a router fits its own lens; they teach nothing else, because a
lens reads them better than others."""


@dataclass(frozen=True, slots=True)
class LensExitKind:
    """The kind that trains and restores `LensExitRouter`."""

    name: str = "lens-exit"
    needs_model: bool = True

    def fit(self, inputs: FitInputs) -> Fitted:
        """A lens, and classifiers with the thresholds that meet floor and budget out of fold.

        There are two, one that reads the choices' tokens and one that reads the vocabulary for
        prompts of which no choices are known. The metrics are of the way in which the task is
        asked.

        Raises:
            CorpusError: there are too few questions to learn from.
            ModelError: the model has bridges.
        """
        loaded, config = _model(inputs), inputs.config
        if bridges_of(loaded.model) is not None:
            raise ModelError(
                f"model {loaded.spec!r} has bridges; a lens exit brings its own to the final norm: "
                "fit it to a corpus of the model without bridges"
            )
        examples = select_examples(inputs.examples, config.train_limit, config.seed)
        hashes = question_hashes(examples)
        of_lens, teaching = _parts(examples, hashes, own_lens=config.lens is None)
        depths = exit_depths(loaded.num_layers)
        lens = _lens(inputs, depths, of_lens)
        observer = ExitObserver(loaded=loaded, task=inputs.task, depths=depths, lens=lens)
        observed = stored_rows(
            inputs.feature_folder,
            {**_key(inputs, depths), "what": "lens exit", "lens": lens_digest(lens)},
            teaching,
            seed=config.seed,
            name=lambda example: [example.example_id],
            compute=observer.observe,
        )
        groups_N = np.array([hashes[example.example_id] for example in teaching], dtype=np.uint64)
        asks_choices = inputs.task.kind is AnswerKind.CHOICE
        found = {}
        for reading in (CHOICES, VOCABULARY):
            # Without choices there is nothing to read but the vocabulary.
            read = reading if asks_choices else VOCABULARY
            found[reading] = choose_exits(
                ExitEvidence.of(observed, read, groups_N),
                _costs(loaded, inputs, depths, read, teaching),
                config,
            )
        router = LensExitRouter(
            num_layers=loaded.num_layers,
            depths=depths,
            weight_KDD=lens.weight_LDD,
            bias_KD=lens.bias_LD,
            classifiers={reading: classifier for reading, (classifier, _) in found.items()},
        )
        return Fitted(
            router=router,
            metrics=found[CHOICES if asks_choices else VOCABULARY][1].metrics(),
            judged_on="the questions that chose depths and threshold (probabilities are out of "
            "fold)",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> LensExitRouter:
        """The router of these settings and weights."""
        return restore_lens_exit(settings, tensors)


def _parts(
    examples: Sequence[Example], hashes: Mapping[str, int], *, own_lens: bool
) -> tuple[list[Example], list[Example]]:
    """The questions to which a lens is fitted, and those that teach; equal ones stay together."""
    limit = LENS_SHARE * 2**64 if own_lens else 0
    of_lens = [example for example in examples if _turned(hashes[example.example_id]) < limit]
    teaching = [example for example in examples if _turned(hashes[example.example_id]) >= limit]
    if len({hashes[example.example_id] for example in teaching}) < 2 or (own_lens and not of_lens):
        raise CorpusError(
            f"{len(examples)} examples can teach; a lens exit needs at least 2 different questions"
            + (", and others for its lens" if own_lens else "")
        )
    return of_lens, teaching


def _turned(value: int) -> int:
    """A hash from the other end: the low ones are validation questions of other routers."""
    return 2**64 - 1 - value


def _lens(inputs: FitInputs, depths: Sequence[int], examples: Sequence[Example]) -> Lens:
    """The translators of these depths, of the lens that is named or one of these questions."""
    loaded = _model(inputs)
    if inputs.config.lens is not None:
        return at_depths(load_lens(Path(inputs.config.lens), loaded), depths)

    def compute() -> dict[str, Tensor]:
        lens = fit_task_lens(loaded, inputs.task, examples, depths)
        return {"weight_KDD": lens.weight_LDD.contiguous(), "bias_KD": lens.bias_LD.contiguous()}

    items = sorted(example.example_id for example in examples)
    key = {**_key(inputs, depths), "what": "lens of questions", "items": items}
    found = stored_features(inputs.feature_folder, key, compute)
    return Lens(kind=LensKind.RIDGE, weight_LDD=found["weight_KDD"], bias_LD=found["bias_KD"])


def _costs(
    loaded: LoadedModel,
    inputs: FitInputs,
    depths: tuple[int, ...],
    reading: str,
    examples: Sequence[Example],
) -> ExitCosts:
    num_read = int(loaded.model.config.vocab_size)
    if reading == CHOICES:
        num_read = max(
            len(encode_example(loaded, inputs.task, example).choice_ids) for example in examples
        )
    return ExitCosts(
        num_layers=loaded.num_layers,
        depths=depths,
        read=read_cost(loaded.model, num_read),
        bridge=share_of_layer(loaded.model),
    )


def _key(inputs: FitInputs, depths: Sequence[int]) -> dict[str, object]:
    model = _model(inputs)
    scoring = SCORING_VERSIONS[model.dtype]
    return {
        "model": model.fingerprint,
        "task": [inputs.task.name, inputs.task.version, PROMPTING_VERSION, scoring],
        "depths": list(depths),
    }


def _model(inputs: FitInputs) -> LoadedModel:
    assert inputs.loaded is not None, "the kind says that it needs a model"
    return inputs.loaded
