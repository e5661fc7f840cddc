"""What one layer call asks of an accelerator: few operations, one copy, nothing that is waited for.

Models of real widths run on the ``meta`` device, which has shapes and no numbers. What is counted
are torch's own operations: those that only look at memory in another way (views) launch nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from support.fake_devices import tensors_of
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

from search_cluster.model.engine import layer_runner
from search_cluster.model.engine.calls.call_limits import ACCELERATOR_CALL_ROWS
from search_cluster.model.engine.calls.call_plan import CallPlan, Layout
from search_cluster.model.engine.calls.plan_builder import PlanBuilder
from search_cluster.model.engine.fused_norm import FusedNorm, fused
from search_cluster.model.engine.invariance.arithmetic import probe_arithmetic
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import PrefixTrie, TrieNode
from search_cluster.model.engine.scheduler import Scheduler
from search_cluster.model.engine.state_memory import new_store
from search_cluster.model.engine.token_tree import RowSet, TokenTree
from search_cluster.model.engine.wants import Wants
from search_cluster.model.memory_plan import KEYS_PER_ROW

MODELS: dict[str, dict[str, object]] = {
    "Llama-3.2-3B": {
        "model_type": "llama", "hidden_size": 3072, "intermediate_size": 8192,
        "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 128256, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0,
            "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
    },
    "Qwen3-8B": {
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 151936, "max_position_embeddings": 40960, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False, "rope_theta": 1000000.0,
    },
    "Qwen3-32B": {
        "model_type": "qwen3", "hidden_size": 5120, "intermediate_size": 25600,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 151936, "max_position_embeddings": 40960, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False, "rope_theta": 1000000.0,
    },
    "Qwen3-30B of 128 experts": {
        "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144,
        "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8,
        "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
        "vocab_size": 151936, "max_position_embeddings": 40960, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False, "rope_theta": 1000000.0,
    },
    "Mixtral 8x7B": {
        "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336,
        "num_local_experts": 8, "num_experts_per_tok": 2,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 32000, "max_position_embeddings": 32768, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False, "rope_theta": 1000000.0,
    },
}  # fmt: skip
NUM_LAYERS = 2
MAX_OPERATIONS = 60
MORE_IN_TWO_PARTS = 10
"""What a mixture may need beyond that where its five plain products have two parts each."""
SEGMENTS = (1, 8, 64, 256)
NUM_ROWS = 2048
"""The rows of all segments together."""
CALL_ROWS = ACCELERATOR_CALL_ROWS
READ_BACK = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "masked_select")


@dataclass
class LayerCall:
    """What one call of a layer did."""

    operations: list[str] = field(default_factory=list)
    """Those that launch something."""
    views: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    """Those that copy from the host to the device."""


class Watch(TorchDispatchMode):
    """Notes the operations of each layer call; one that would wait for the device fails."""

    def __init__(self) -> None:
        super().__init__()
        self.call = LayerCall()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        assert name not in READ_BACK, f"{func} waits for the device"
        result = func(*args, **(kwargs or {}))
        tensors = list(tensors_of((args, kwargs)))
        devices = {item.device.type for item in tensors}
        lands = {item.device.type for item in tensors_of(result)}
        if devices == {"cpu"} and lands == {"cpu"}:
            return result
        if "cpu" in devices and any(item.numel() for item in tensors if item.device.type == "cpu"):
            self.call.sent.append(name)
        elif "cpu" in lands:
            raise AssertionError(f"{func} copies back from the device")
        launches = name not in ("empty_like", "new_empty") and not _is_view(func, tensors, result)
        (self.call.operations if launches else self.call.views).append(name)
        return result


def _is_view(func: Any, tensors: list[torch.Tensor], result: object) -> bool:
    """Whether the operation only looks at what is there."""
    results = list(tensors_of(result))
    if func._schema.is_mutable or not results:
        return False
    known = {item.untyped_storage()._cdata for item in tensors}
    return all(item.untyped_storage()._cdata in known for item in results)


def fused_as_on_a_device(module: nn.Module) -> FusedNorm | None:
    """What is found out by values, from a norm of the same class on the CPU."""
    if "Norm" not in type(module).__name__:
        return None
    make: Callable[..., nn.Module] = type(module)
    known = fused(make(len(module.weight), eps=module.variance_epsilon).to(torch.bfloat16))
    return None if known is None else type(known)(module.weight, known.eps)


class Engine:
    """The layer loop of a model without numbers."""

    def __init__(self, name: str) -> None:
        settings = dict(MODELS[name])
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        config.num_hidden_layers = NUM_LAYERS
        config.layer_types = ["full_attention"] * NUM_LAYERS
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
        arithmetic = probe_arithmetic(model)
        assert arithmetic.layout is Layout.PACKED
        self.layers = LayerRunner(model, arithmetic.products)
        self.store = new_store(self.layers, 2**40, keep_keys=True)
        self.scheduler = Scheduler(
            self.layers, self.store, arithmetic=arithmetic, max_call_rows=CALL_ROWS
        )

    @contextmanager
    def watched(self) -> Iterator[list[LayerCall]]:
        """The calls within."""
        calls: list[LayerCall] = []
        run, watch = self.scheduler._run, Watch()

        def noting(*args: Any) -> None:
            watch.call = LayerCall()
            calls.append(watch.call)
            run(*args)

        self.scheduler._run = noting  # type: ignore[method-assign]
        try:
            with watch:
                yield calls
        finally:
            del self.scheduler._run  # type: ignore[method-assign]

    @torch.inference_mode()
    def bring_up_to_date(
        self,
        rows: Mapping[TrieNode, RowSet],
        *,
        finals: Mapping[TrieNode, RowSet] | None = None,
        shared: Mapping[TrieNode, TrieNode] | None = None,
        keep_keys: bool,
    ) -> list[LayerCall]:
        """Run what is wanted, and say what each call did."""
        wants = Wants(rows=rows, finals=finals or {}, shared=shared or {}, keep_keys=keep_keys)
        with self.watched() as calls:
            self.scheduler.bring_up_to_date(wants)
        self.scheduler.release()
        return calls


@pytest.fixture(scope="module", params=MODELS)
def engine(request: pytest.FixtureRequest) -> Engine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_runner, "fused", fused_as_on_a_device)
        engine = Engine(request.param)
    # Tables of positions and room for states are made once.
    generate(engine, 1, 2 * CALL_ROWS)
    generate(engine, 64, 2 * CALL_ROWS)
    score_choices(engine, 64, 2 * CALL_ROWS)
    return engine


def generate(engine: Engine, num_segments: int, num_rows: int = NUM_ROWS) -> list[LayerCall]:
    """Prompts behind a shared template, then what is decoded and drafted behind them."""
    size, num_decoded = num_rows // num_segments, 512 // num_segments
    template = PrefixTrie(TokenTree(range(8)))
    tries = [PrefixTrie(TokenTree([*range(8), *range(10, 10 + size)])) for _ in range(num_segments)]
    path, shared_nodes = range(NUM_LAYERS), template.nodes_of(range(NUM_LAYERS))
    shared = {
        node: other
        for trie in tries
        for node, other in zip(trie.nodes_of(path), shared_nodes, strict=True)
    }
    calls: list[LayerCall] = []
    branches: tuple[list[int], ...]
    for branches in ((), ([5], [6] * (num_decoded - 1))):
        wanted = {}
        for trie in tries:
            tree = trie.token_tree
            rows = set(range(8, tree.num_context))
            for tokens in branches:
                rows |= set(tree.add_chain(tree.last_context_row, tokens))
            wanted |= dict.fromkeys(trie.nodes_of(path), tree.row_set(rows))
        calls += engine.bring_up_to_date(wanted, shared=shared, keep_keys=True)
    return calls


def score_choices(engine: Engine, num_segments: int, num_rows: int = NUM_ROWS) -> list[LayerCall]:
    """Prompts with choices that branch off, of which some rows are read at the end."""
    size, wanted, finals = num_rows // num_segments, {}, {}
    for _ in range(num_segments):
        trie = PrefixTrie(TokenTree(range(size - 5)))
        tree = trie.token_tree
        rows = {*range(tree.num_context)}
        for tokens in ([1, 2], [3], [1, 4, 5]):
            rows |= {*tree.add_chain(tree.last_context_row, tokens)}
        nodes = trie.nodes_of(range(NUM_LAYERS))
        wanted |= dict.fromkeys(nodes, tree.row_set(rows))
        finals[nodes[-1]] = tree.row_set(sorted(rows)[-(size // 2) :])
    return engine.bring_up_to_date(wanted, finals=finals, keep_keys=False)


@pytest.mark.parametrize("work", [generate, score_choices])
def test_a_call_has_one_copy_and_few_operations_however_many_segments(
    engine: Engine, work: Callable[[Engine, int], list[LayerCall]]
) -> None:
    of_segments = {number: work(engine, number) for number in SEGMENTS}
    for number, calls in of_segments.items():
        assert len(calls) >= NUM_LAYERS
        for call in calls:
            assert len(call.sent) == 1, f"{number} segments: {call.sent}"
            assert len(call.operations) <= MAX_OPERATIONS, call.operations
    first = [call.operations for call in of_segments[1]]
    for number, calls in of_segments.items():
        assert [call.operations for call in calls] == first, f"{number} segments"


@pytest.mark.parametrize("work", [generate, score_choices])
def test_calls_of_all_lengths_have_as_few(
    engine: Engine, work: Callable[[Engine, int, int], list[LayerCall]]
) -> None:
    for num_rows in (CALL_ROWS, 5376, 1984):  # the others have products in two parts
        for call in work(engine, 64, num_rows):
            most = MAX_OPERATIONS
            if "_grouped_mm" in call.operations and call.operations.count("linear") > 5:
                most += MORE_IN_TWO_PARTS
            assert len(call.operations) <= most, call.operations
            assert len(call.sent) == 1


def test_calls_of_decoded_rows_gather_no_more_keys_than_are_planned(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_keys: list[int] = []
    build, most = PlanBuilder.build, 64 * KEYS_PER_ROW

    def counting(self: PlanBuilder, *args: Any, **settings: Any) -> CallPlan:
        plan = build(self, *args, **settings)
        assert plan.packed is not None
        num_keys.append(plan.packed.key_slots.stop - plan.packed.key_slots.start)
        return plan

    tries = [PrefixTrie(TokenTree(range(300))) for _ in range(32)]
    nodes = {trie: trie.nodes_of([0])[0] for trie in tries}
    prompts = {node: trie.token_tree.row_set(range(300)) for trie, node in nodes.items()}
    engine.bring_up_to_date(prompts, keep_keys=True)
    monkeypatch.setattr(PlanBuilder, "build", counting)
    monkeypatch.setattr(engine.scheduler._limits, "max_rows", 64)
    decoded = {
        node: trie.token_tree.row_set([trie.token_tree.add(299, 7)]) for trie, node in nodes.items()
    }
    engine.bring_up_to_date(decoded, keep_keys=True)
    assert sum(num_keys) == 32 * 301
    assert max(num_keys) <= most
    assert len(num_keys) == 6
