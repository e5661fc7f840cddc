"""The packed layout of calls on a CPU, whose torch has no kernel for it."""

from dataclasses import replace

import pytest
from support.sequences import plain_varlen_attn
from transformers import PreTrainedModel

from search_cluster.model.engine import executor as executor_module
from search_cluster.model.engine.calls import sequences
from search_cluster.model.engine.calls.call_plan import Layout
from search_cluster.model.engine.invariance.arithmetic import Arithmetic, probe_arithmetic


def packed(model: PreTrainedModel) -> Arithmetic:
    """The arithmetic of a model whose calls fill nothing up."""
    return replace(probe_arithmetic(model), layout=Layout.PACKED)


def run_packed(patch: pytest.MonkeyPatch) -> None:
    """Let engines that are made from now on run the packed layout."""
    patch.setattr(executor_module, "probe_arithmetic", packed)
    patch.setattr(sequences, "varlen_attn", plain_varlen_attn)
