"""Part I: are verdicts of a model whose layers share two cards those of one card, to the bit?"""

import time

import torch

from gpu_parts.device import is_cuda
from gpu_parts.engine import essence, judge_answered
from gpu_parts.samples import NO_MODEL, Sample, random_samples
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet
from search_cluster.errors import ModelError
from search_cluster.model.devices.layer_devices import device_names
from search_cluster.model.devices.placing import place_layers
from search_cluster.model.devices.several import require_alike_devices
from search_cluster.model.engine.executor import Outcome, PathExecutor

DTYPE = "bfloat16"
STATE_BYTES = 2**31
SAME = "verdicts on two cards are those of one, to the bit"


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part I."""
    num_cards = torch.cuda.device_count() if is_cuda(device) else 0
    if num_cards < 2:
        sheet.lack("on_two_cards", f"it takes two cards, and there are {num_cards}")
        return
    names = device_names("cuda", 2)
    try:
        require_alike_devices(names)
    except ModelError as error:
        sheet.lack("on_two_cards", str(error))
        return
    alone = [
        _outcomes(sample) for sample in random_samples(sheet, scale, names[0], DTYPE, NO_MODEL)
    ]
    num_unlike = 0
    for sample, (outcomes, seconds) in zip(
        random_samples(sheet, scale, names[0], DTYPE, NO_MODEL), alone, strict=True
    ):
        place_layers(sample.loaded.model, [torch.device(name) for name in names])
        on_two, two_s = _outcomes(sample)
        unlike = sum(
            essence(one) != essence(other) or margin_of(one) != margin_of(other)
            for one, other in zip(outcomes, on_two, strict=True)
        )
        num_unlike += unlike
        figures = {"verdicts": len(outcomes), "unlike": unlike}
        sheet.put(sample.name, {**figures, "one_s": round(seconds, 2), "two_s": round(two_s, 2)})
    sheet.judge(SAME, num_unlike, num_unlike == 0)
    judge_answered(sheet, [outcome for outcomes, _ in alone for outcome in outcomes])


def margin_of(outcome: Outcome) -> float | None:
    """The margin of a verdict, if there is one."""
    return getattr(outcome, "margin", None)


def _outcomes(sample: Sample) -> tuple[list[Outcome], float]:
    executor = PathExecutor(sample.loaded, sample.task, max_state_bytes=STATE_BYTES)
    started_s = time.perf_counter()
    return executor.evaluate(list(sample.pairs)), time.perf_counter() - started_s
