"""The self-test of a freshly loaded model.

Can its layers be re-ordered without silent damage, and do the engine and the layer-by-layer pass
compute what the untouched transformers model does? A family whose anatomy entry misses something (a
factor on embeddings, residuals or logits, a window, an input that layers get besides the states)
is refused here by name.

Shapes: B 1 row, T tokens, D width, V vocabulary.
"""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from search_cluster.errors import ModelError, UnsupportedFamilyError, in_one_line
from search_cluster.model.engine.invariance.arithmetic import Arithmetic, untried_arithmetic
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import (
    NodeState,
    PrefixTrie,
    StateStore,
    TrieNode,
)
from search_cluster.model.engine.scheduler import Scheduler
from search_cluster.model.engine.state_memory import new_store
from search_cluster.model.engine.token_tree import RowSet, TokenTree
from search_cluster.model.engine.wants import Wants
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath

NUM_PROBE_TOKENS = 6
NUM_PROBE_DECODED = 2
"""How many of them are decoded one by one in the test of the KV cache."""
PROBE_WINDOW = 3
"""The sliding window of a second test, which a real window is too wide to show in."""
RELATIVE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1, torch.float16: 3e-2}
"""The largest difference between two ways to compute the same logits or embeddings, as a part of
the largest one, for each dtype."""
CACHE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.3, torch.float16: 0.3}
"""The same for logits with and without KV cache. Keys of another layer are off by about 1; noise of
16 bits that grows through all layers was seen to reach 0.1."""
STEP_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""The largest mean difference of states behind one layer, as a part of the states and of what the
layer adds to them, for each dtype."""
EMBEDDING_TOLERANCE = 5e-3
"""The same for embeddings, which are looked up and not computed, in any dtype."""


@torch.inference_mode()
def check_model(model: PreTrainedModel) -> None:
    """Check that a model's layers can be re-ordered.

    Its logits are finite, the identity path is the model, a repeated layer has a KV-cache slot of
    its own, and the engine computes what the model and its paths do.

    It costs about eight passes over 6 tokens.

    Raises:
        ModelError: one of these does not hold; the message says which.
    """
    try:
        _check(model)
    except (ModelError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a family without a fitting entry does
        raise UnsupportedFamilyError(
            f"self-test: the layers of this {model.config.model_type} model can't be run by hand "
            f"({in_one_line(error)}); its anatomy entry in search_cluster/model/anatomy.py "
            "does not fit: take a model of another family"
        ) from error


def _check(model: PreTrainedModel) -> None:
    family, depth = model.config.model_type, len(model.model.layers)
    tokens_BT = (
        torch.arange(1, NUM_PROBE_TOKENS + 1, device=model.device)[None] % model.config.vocab_size
    )
    identity = materialise(model, LayerPath.identity(depth))
    own = model(tokens_BT, use_cache=False, output_hidden_states=True)
    own_BTV = own.logits
    if not torch.isfinite(own_BTV).all():
        raise ModelError(
            f"self-test: the logits of this {family} model are NaN or infinite in {model.dtype}; "
            "its weights are damaged (download them again), or too large for float16 (take "
            "bfloat16 or float32)"
        )
    if not torch.equal(own_BTV, identity(tokens_BT, use_cache=False).logits):
        raise ModelError(
            f"self-test: the identity path of this {family} model differs from the model itself; "
            "its anatomy entry in search_cluster/model/anatomy.py is wrong"
        )
    arithmetic = untried_arithmetic(model)
    engine = LayerRunner(model, arithmetic.products)
    embedded_TD = engine.embed(tokens_BT[0])
    _require_equal(
        model, own.hidden_states[0][0], embedded_TD, "the engine's embeddings", EMBEDDING_TOLERANCE
    )
    middle = depth // 2
    repeating_path = LayerPath((*range(middle + 1), *range(middle, depth)), depth)
    repeating = materialise(model, repeating_path)
    plain = repeating(tokens_BT, use_cache=False, output_hidden_states=True)
    gap = _relative_gap(plain.logits, _logits_with_cache(repeating, tokens_BT))
    allowed = CACHE_TOLERANCE[model.dtype]
    if not gap <= allowed:
        raise ModelError(
            f"self-test: with layer {middle} repeated, this {family} model's logits with KV cache "
            f"are off by {gap:.2g} (allowed: {allowed:g}); its layers "
            "can't be run twice as they are"
        )
    plain_path = LayerPath.identity(depth)
    _check_engine(model, arithmetic, engine, plain_path, tokens_BT, own, "the plain model")
    _check_engine(
        model, arithmetic, engine, repeating_path, tokens_BT, plain, f"layer {middle} repeated"
    )
    _check_layerwise(model, tokens_BT, own_BTV)
    if (getattr(model.config, "sliding_window", None) or 0) > PROBE_WINDOW:
        narrow = materialise(model, plain_path)  # its config is a copy
        narrow.config.sliding_window = PROBE_WINDOW
        _check_engine(
            narrow,
            arithmetic,
            LayerRunner(narrow, arithmetic.products),
            plain_path,
            tokens_BT,
            narrow(tokens_BT, use_cache=False, output_hidden_states=True),
            f"a sliding window of {PROBE_WINDOW} tokens",
        )


def _check_engine(
    model: PreTrainedModel,
    arithmetic: Arithmetic,
    layers: LayerRunner,
    path: LayerPath,
    tokens_BT: Tensor,
    theirs: CausalLMOutputWithPast,
    what: str,
) -> None:
    """Compare the engine with transformers, layer by layer on a path of the model.

    Each layer begins with the states of transformers: the noise of 16 bits grows from layer to
    layer, and some models make ten times as much of it.
    """
    assert theirs.hidden_states is not None, "they were asked for"
    assert theirs.logits is not None, "a causal LM has logits"
    trie = PrefixTrie(TokenTree(tokens_BT[0].tolist()))
    nodes, rows = trie.nodes_of(path.layers), trie.token_tree.row_set(range(tokens_BT.shape[1]))
    store = new_store(layers, 0, keep_keys=False)
    scheduler = Scheduler(layers, store, arithmetic=arithmetic, max_call_rows=2**10)
    for depth, node in enumerate(nodes):
        before_TD = theirs.hidden_states[depth][0]
        if depth:
            _hold(store, nodes[depth - 1], rows, before_TD)
        wants = Wants(rows={node: rows}, finals={}, shared={}, keep_keys=False)
        scheduler.bring_up_to_date(wants)
        assert node.state is not None, "the node was wanted"
        slab = store.hidden.of(node.layer)
        slots_T = torch.from_numpy(node.state.hidden.slots(rows.rows)).to(slab.device)
        ours_TD = slab.gather(slots_T)
        if depth + 1 < len(nodes):  # the last states of transformers have passed the final norm
            _require_same_step(model, before_TD, theirs.hidden_states[depth + 1][0], ours_TD, what)
        else:
            ours_TV = layers.logits(ours_TD.to(layers.devices.last))
            _require_equal(model, theirs.logits[0], ours_TV, f"the engine's logits with {what}")


def _hold(store: StateStore, node: TrieNode, rows: RowSet, hidden_TD: Tensor) -> None:
    """Put states in the place of what a node computed."""
    store.forget(node)
    node.state = NodeState()
    slab = store.hidden.of(node.layer)
    slots = slab.take(len(rows))
    node.state.hidden.add(rows, rows.rows, slots)
    slab.write(torch.from_numpy(slots).to(slab.device), hidden_TD.to(slab.device))
    store.touch(node)


def _require_same_step(
    model: PreTrainedModel, before_TD: Tensor, theirs_TD: Tensor, ours_TD: Tensor, what: str
) -> None:
    """Pass if a layer changes states as in transformers."""
    # On one device, whichever it is.
    before_TD, theirs_TD, ours_TD = (
        before_TD.to(ours_TD).float(),
        theirs_TD.to(ours_TD).float(),
        ours_TD.float(),
    )
    # Some states are a thousand times as large as what a layer adds to them.
    step_T1 = (theirs_TD - before_TD).square().mean(dim=1, keepdim=True).sqrt()
    gap = float(((theirs_TD - ours_TD).abs() / (theirs_TD.abs() + step_T1)).mean())
    if not gap <= STEP_TOLERANCE[model.dtype]:
        raise _differs(model, f"the engine's states with {what}", gap, STEP_TOLERANCE[model.dtype])


def _check_layerwise(model: PreTrainedModel, tokens_BT: Tensor, own_BTV: Tensor) -> None:
    """Compare the pass that routers read states from with the model."""
    walk = LayerwisePass(model, tokens_BT)
    for layer in range(len(model.model.layers)):
        walk.step(layer)
    _require_equal(model, own_BTV, walk.logits(slice(None)), "the logits of a pass by hand")


def _require_equal(
    model: PreTrainedModel,
    theirs: Tensor,
    ours: Tensor,
    what: str,
    tolerance: float | None = None,
) -> None:
    allowed = RELATIVE_TOLERANCE[model.dtype] if tolerance is None else tolerance
    gap = _relative_gap(theirs, ours)
    if not gap <= allowed:
        raise _differs(model, what, gap, allowed)


def _differs(
    model: PreTrainedModel, what: str, gap: float, allowed: float
) -> UnsupportedFamilyError:
    return UnsupportedFamilyError(
        f"self-test: {what} differ from those of this {model.config.model_type} model in "
        f"transformers by {gap:.2g} (allowed: {allowed:g}): the family has something (a factor, a "
        "window, a further input) that its anatomy entry in search_cluster/model/anatomy.py does "
        "not name, so its verdicts would be wrong; take a model of another family"
    )


def _logits_with_cache(model: PreTrainedModel, tokens_BT: Tensor) -> Tensor:
    cache = DynamicCache(config=model.config)
    num_read = NUM_PROBE_TOKENS - NUM_PROBE_DECODED
    parts = [tokens_BT[:, :num_read], *torch.split(tokens_BT[:, num_read:], 1, dim=1)]
    return torch.cat(
        [model(part, past_key_values=cache, use_cache=True).logits for part in parts], dim=1
    )


def _relative_gap(a: Tensor, b: Tensor) -> float:
    a, b = a.float(), b.to(a.device).float()
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-6))
