"""What training sees of texts: what a lens reads of each token, and what comes next.

A token's states do not depend on where tokens before it stopped (see
`search_cluster.model.online.lazy_pass`), so one pass over a text shows every exit at every token.

Shapes: N texts, M tokens of a text, K depths, R readings, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from router_train.config import LABEL_FINAL
from router_train.routers.lens_exit.evidence import ExitEvidence
from router_train.routers.lens_exit.readings import READINGS, read_logits_of
from search_cluster.console import track
from search_cluster.errors import CorpusError, InvalidValueError
from search_cluster.model.decoding import decode_greedily, require_finite
from search_cluster.model.head import float32_logits
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.states import walk_states
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task

MOST_NEW_TOKENS = 16
"""The tokens of a text, at most, that teach."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TokenObserver:
    """Observes what follows the prompts of questions, at some depths of a path."""

    loaded: LoadedModel
    task: Task
    path: LayerPath
    depths: tuple[int, ...]
    lens: Lens
    """One translator for each of the depths."""
    label: str
    """What follows: the whole path's own tokens (`LABEL_FINAL`), or the gold answer's."""

    def observe(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Readings and next tokens, filled up with zeros behind the end of a text.

        Returns:
            ``readings_NMKR`` of the vocabulary; ``right_NMK`` and ``agrees_NMK``, whether the
            likeliest token there comes next, and is the one at the path's end; ``plain_NM``,
            whether the latter comes next; ``num_new_N``; and ``num_prompt_N``, of the prompt.
        """
        rows = [
            self._of_text(*self._text(example))
            for example in track(examples, "texts, read token by token")
        ]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def _text(self, example: Example) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens of the prompt, and those that follow it."""
        encoded = encode_example(self.loaded, self.task, example)
        if self.label != LABEL_FINAL:
            return encoded.context_ids, self._gold(encoded, example)[:MOST_NEW_TOKENS]
        most = MOST_NEW_TOKENS
        if self.task.kind is not AnswerKind.CHOICE:
            most = min(most, self.task.max_new_tokens)
        new_ids = decode_greedily(
            materialise(self.loaded.model, self.path),
            self.loaded.tokenizer,
            encoded.context_ids,
            max_new_tokens=most,
            stop_strings=self.task.stop_strings,
        )
        return encoded.context_ids, new_ids

    def _gold(self, encoded: EncodedExample, example: Example) -> tuple[int, ...]:
        if not encoded.choice_ids:
            ids = self.loaded.tokenizer(example.gold, add_special_tokens=False)["input_ids"]
            if not ids:
                raise CorpusError(
                    f"the gold answer {example.gold!r} of {example.example_id} has no token; "
                    "let the model's own tokens teach: --label final"
                )
            return tuple(ids)
        if example.gold_index is None:
            raise InvalidValueError(
                f"example {example.example_id} has choices but no gold index; set gold_index"
            )
        return encoded.choice_ids[example.gold_index]

    @torch.inference_mode()
    def _of_text(self, context_ids: Sequence[int], new_ids: Sequence[int]) -> dict[str, Tensor]:
        model, num_new = self.loaded.model, len(new_ids)
        input_ids = torch.tensor([[*context_ids, *new_ids[:-1]]], device=model.device)
        next_M = torch.tensor(new_ids)
        states = [state[0, -num_new:] for state in walk_states(model, input_ids, self.path)]
        readings, best = [], []
        for place, depth in enumerate(self.depths):
            translated_MD = self.lens.translate(states[depth], place)
            logits_MV = float32_logits(model, model.model.norm(translated_MD))
            readings.append(read_logits_of(logits_MV, ()))
            best.append(logits_MV.argmax(dim=-1).cpu())
        final_MV = float32_logits(model, model.model.norm(states[-1]))
        require_finite(final_MV)
        final_M, best_MK = final_MV.argmax(dim=-1).cpu(), torch.stack(best, dim=1)
        found = {
            "readings_NMKR": torch.stack(readings, dim=1),
            "right_NMK": (best_MK == next_M[:, None]).to(torch.uint8),
            "agrees_NMK": (best_MK == final_M[:, None]).to(torch.uint8),
            "plain_NM": (final_M == next_M).to(torch.uint8),
        }
        return {
            **{name: _filled(value) for name, value in found.items()},
            "num_new_N": torch.tensor(num_new),
            "num_prompt_N": torch.tensor(len(context_ids)),
        }


def token_evidence(observed: Mapping[str, Tensor], groups_N: NDArray[np.uint64]) -> ExitEvidence:
    """The evidence of all tokens, from what a `TokenObserver` saw of texts.

    Args:
        observed: of the texts.
        groups_N: numbers that are equal for texts that must stay on one side.
    """
    num_new_N = observed["num_new_N"]
    is_token_NM = torch.arange(MOST_NEW_TOKENS) < num_new_N[:, None]
    num_tokens_NM = torch.ones_like(is_token_NM, dtype=torch.long)
    num_tokens_NM[:, 0] = observed["num_prompt_N"]
    texts_N = torch.arange(len(num_new_N)).repeat_interleave(num_new_N).numpy()
    readings = observed["readings_NMKR"][is_token_NM]
    assert readings.shape[-1] == len(READINGS)
    return ExitEvidence(
        readings_NKR=readings,
        told_apart_N=torch.ones(len(readings)),
        right_NK=observed["right_NMK"][is_token_NM].numpy() > 0,
        agrees_NK=observed["agrees_NMK"][is_token_NM].numpy() > 0,
        plain_N=observed["plain_NM"][is_token_NM].numpy() > 0,
        num_tokens_N=num_tokens_NM[is_token_NM].numpy(),
        groups_N=groups_N[texts_N],
        texts_N=texts_N,
    )


def _filled(value_M: Tensor) -> Tensor:
    """As many rows as `MOST_NEW_TOKENS`, zeros behind."""
    filled = torch.zeros((MOST_NEW_TOKENS, *value_M.shape[1:]), dtype=value_M.dtype)
    filled[: len(value_M)] = value_M
    return filled
