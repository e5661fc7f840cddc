"""In which shapes of calls a row's attention has the same bits, tried on the machine at hand.

One row is looked at beside others and alone, at other places, in calls of other sizes, with a
prompt and by decoding.

Shapes: S segments, R rows, L keys, H query heads, G key-value heads, r query heads that share a
key-value head, E head width, N rows of all sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from search_cluster.model.anatomy import head_width, windows_of
from search_cluster.model.engine.calls.attention import scores_and_values
from search_cluster.model.engine.calls.call_plan import Layout, Shapes
from search_cluster.model.engine.calls.sequences import attend_to_sequences
from search_cluster.model.engine.invariance.products import LEFT_OVER

CANDIDATES = (
    Shapes(8, 32),
    Shapes(8, 32, 512, 256),
    Shapes(16, 32, 512, 256),
    Shapes(32, 64, 512, 256),
    Shapes(12, 32, 512, 256, tile_rows=24),
    Shapes(8, 32, 512, 192),
    Shapes(12, 32, 512, 192, tile_rows=24),
    Shapes(32, 256),
    Shapes(32, 512),
)
"""What is tried, the cheapest first. With AVX2 products are made of six rows at a time, and two
that are left over are summed otherwise; 12 and 24 leave none. On AMD's processors float32 sums are
made of 192 keys at a time, but in two halves where there are more than 192 and less than 384."""
USUAL_SHAPES = CANDIDATES[0]
"""What is taken where none of them will do."""
PROBE_POSITIONS = (37, 189, 301, 459, 701)
"""The positions of the rows that are compared. They are odd: keys cancel each other in pairs."""
PROBE_ROWS = (1, 8, 13, 24, 30)
"""The numbers of rows of calls that end with such a row, beside a whole prompt."""
PROBE_MORE_KEYS = (50, 150, 300, 600)
"""The numbers of keys behind those that the row sees."""
MAX_PROBE_KEY_HEADS = 2
"""Heads are alike, so a few will do."""
MAX_PROBE_WINDOW = 256
"""Windows are alike, so one will do that some of what is tried fills and some does not."""


@dataclass(frozen=True, slots=True)
class AttentionKind:
    """All that a layer's attention is tried with."""

    num_key_heads: int
    repeats: int
    """Query heads that share a key-value head."""
    width: int
    softcap: float | None
    device: torch.device
    dtype: torch.dtype
    window: int | None = None
    """How many positions a row looks back, where that picks the kernel; ``None`` stands for all."""

    @classmethod
    def of(
        cls, model: PreTrainedModel, device: torch.device, window: int | None = None
    ) -> "AttentionKind":
        """A model's attention on one device, with no more heads than have to be tried."""
        config = model.config
        return cls(
            num_key_heads=min(config.num_key_value_heads, MAX_PROBE_KEY_HEADS),
            repeats=config.num_attention_heads // config.num_key_value_heads,
            width=head_width(config),
            softcap=getattr(config, "attn_logit_softcapping", None),
            device=device,
            dtype=model.dtype,
            window=None if window is None else min(window, MAX_PROBE_WINDOW),
        )


def attention_shapes(
    model: PreTrainedModel, layout: Layout, devices: Sequence[torch.device]
) -> Shapes | None:
    """The first candidate in which a row's attention has the same bits, if there is one.

    It is tried on each device of the model, and with each window that the kernel is told of; if
    they differ in it there is none.
    """
    if model.device.type == "meta":  # where there are no bits
        return CANDIDATES[0]
    # In the other layout a window is a part of the mask.
    windows = windows_of(model.config) if layout is Layout.PACKED else {None}
    found = {
        shapes_found(AttentionKind.of(model, device, window), layout, torch.get_num_threads())
        for device in devices
        for window in windows
    }
    return found.pop() if len(found) == 1 else None


@cache
def shapes_found(kind: AttentionKind, layout: Layout, num_threads: int) -> Shapes | None:
    """What `attention_shapes` says; tried once in a process.

    Args:
        kind: the attention.
        layout: how rows stand in a call.
        num_threads: the threads that torch uses now.
    """
    probes = [_AttentionProbe(kind, cancels=cancels) for cancels in (True, False)]
    tried = [(probe, position) for probe in probes for position in PROBE_POSITIONS]
    if layout is Layout.PACKED:
        is_invariant = all(probe.is_invariant_in_sequences(position) for probe, position in tried)
        return CANDIDATES[0] if is_invariant else None
    for shapes in CANDIDATES:
        if all(probe.is_invariant(position, shapes) for probe, position in tried):
            return shapes
    return None


class _AttentionProbe:
    """Known queries, keys and values, to be looked at in calls of many sizes.

    Args:
        kind: the attention that is tried.
        cancels: whether terms nearly cancel each other, so that their order shows in what is left
            of the sums also where it is rounded to 16 bits: in scores the two halves of a head's
            width, in values each key and the one behind it.
    """

    def __init__(self, kind: AttentionKind, *, cancels: bool) -> None:
        width = kind.width
        self._repeats = kind.repeats
        self._scaling = width**-0.5
        self._softcap = kind.softcap
        self._window = kind.window
        generator = torch.Generator().manual_seed(0)
        num_keys = 2048
        half = width // 2
        num_heads = kind.num_key_heads * kind.repeats
        query_HLE = torch.randn(num_heads, num_keys, width, generator=generator)
        key_GLE = torch.randn(kind.num_key_heads, num_keys, width, generator=generator)
        value_GLE = torch.randn(kind.num_key_heads, num_keys, width, generator=generator)
        if cancels:
            query_HLE[..., half : 2 * half] *= LEFT_OVER
            query_HLE[..., half : 2 * half] -= query_HLE[..., :half]
            key_GLE[..., half : 2 * half] = key_GLE[..., :half]
            key_GLE[:, 1::2] = key_GLE[:, ::2]
            value_GLE[:, 1::2] *= LEFT_OVER
            value_GLE[:, 1::2] -= value_GLE[:, ::2]
        self._query_HLE = query_HLE.to(kind.device, kind.dtype)
        self._key_GLE = key_GLE.to(kind.device, kind.dtype)
        self._value_GLE = value_GLE.to(kind.device, kind.dtype)

    def is_invariant(self, position: int, shapes: Shapes) -> bool:
        """Whether the rows up to one have the same outputs in calls of all sizes."""
        whole = position + 1
        calls = [(rows, whole) for rows in PROBE_ROWS]
        calls += [(rows, whole + more) for more in PROBE_MORE_KEYS for rows in (8, whole)]
        reference_HRE = self._output(position, whole, whole, shapes, num_segments=1)
        for number, (rows, keys) in enumerate(calls):
            output_HRE = self._output(position, rows, keys, shapes, num_segments=1 + number % 3)
            if not torch.equal(output_HRE, reference_HRE[:, whole - rows :]):
                return False
        heads_as_rows_HE = self._output_of_heads_as_rows(position, shapes)
        return torch.equal(heads_as_rows_HE, reference_HRE[:, -1])

    def is_invariant_in_sequences(self, position: int) -> bool:
        """Whether one row's output is the same in sequences of all lengths, beside all others."""
        lengths = [(rows, before) for rows in (*PROBE_ROWS, position + 1) for before in (0, 1, 3)]
        outputs = [self._output_of_sequence(position, *length) for length in lengths]
        return all(torch.equal(output, outputs[0]) for output in outputs)

    def _output_of_sequence(self, position: int, num_rows: int, num_before: int) -> Tensor:
        """The row's output ``[H, E]`` as the last of a sequence that stands behind others."""
        rows = [*[self._query_HLE.shape[1] // 4] * num_before, num_rows]
        keys = [*rows[:-1], position + 1]
        queries = [self._query_HLE[:, :size].roll(1, dims=1) for size in rows[:-1]]
        queries.append(self._query_HLE[:, position + 1 - num_rows : position + 1])

        def of_all(part_GLE: Tensor) -> Tensor:
            others = [part_GLE[:, :size].roll(1, dims=1) for size in keys[:-1]]
            return torch.cat([*others, part_GLE[:, : keys[-1]]], dim=1).transpose(0, 1)

        device = self._query_HLE.device
        out_NHE = attend_to_sequences(
            torch.cat(queries, dim=1).transpose(0, 1).contiguous(),
            of_all(self._key_GLE).contiguous(),
            of_all(self._value_GLE).contiguous(),
            torch.tensor([0, *accumulate(rows)], dtype=torch.int32, device=device),
            torch.tensor([0, *accumulate(keys)], dtype=torch.int32, device=device),
            (max(rows), max(keys)),
            window=self._window,
            scaling=self._scaling,
        )
        return out_NHE[-1]

    def _output(
        self, position: int, num_rows: int, num_keys: int, shapes: Shapes, num_segments: int
    ) -> Tensor:
        """The outputs ``[H, R, E]`` of the rows up to one, in one of several segments."""
        first, keys = position + 1 - num_rows, shapes.num_keys(num_keys)
        rows = shapes.num_rows(num_rows)
        query_HRE = self._query_HLE[:, first : first + rows]
        last_R = torch.arange(first, first + rows, device=query_HRE.device)
        out_SHRE = self._attention(query_HRE, last_R, keys, num_segments, shapes.tile_rows)
        return out_SHRE[-1, :, :num_rows]

    def _output_of_heads_as_rows(self, position: int, shapes: Shapes) -> Tensor:
        """The row's output ``[H, E]`` where heads that share keys stand as rows."""
        query_HE = self._query_HLE[:, position]
        query_GrE = query_HE.view(-1, self._repeats, query_HE.shape[1])
        missing = shapes.num_rows(self._repeats) - self._repeats
        query_GRE = pad(query_GrE, (0, 0, 0, missing))
        last_R = torch.full((query_GRE.shape[1],), position, device=query_GRE.device)
        keys = shapes.num_keys(position + 1)
        out_SGRE = self._attention(query_GRE, last_R, keys, 2, shapes.tile_rows)
        return out_SGRE[-1, :, : self._repeats].flatten(0, 1)

    def _attention(
        self,
        query_HRE: Tensor,
        last_R: Tensor,
        num_keys: int,
        num_segments: int,
        tile_rows: int,
    ) -> Tensor:
        """Attention ``[S, H, R, E]`` of segments of which the last one is asked for."""
        index_L = torch.arange(num_keys, device=last_R.device)
        mask_RL = torch.zeros(len(last_R), num_keys, dtype=query_HRE.dtype, device=last_R.device)
        mask_RL.masked_fill_(index_L > last_R[:, None], -torch.inf)
        key_GLE, value_GLE = self._key_GLE[:, :num_keys], self._value_GLE[:, :num_keys]

        def beside_others(part: Tensor) -> Tensor:
            return torch.stack([*[part.roll(1, dims=1)] * (num_segments - 1), part])

        return scores_and_values(
            beside_others(query_HRE),
            beside_others(key_GLE),
            beside_others(value_GLE),
            mask_RL[None, None],
            self._scaling,
            self._softcap,
            tile_rows,
        )
