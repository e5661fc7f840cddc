"""What the named runs cost in GPU-hours, from arithmetic: `python deploy/runs/cost.py`.

    GPU-hours = questions x paths x tokens x layers x FLOP per (layer, token) x share
                / (FLOP per second that are reached) / 3600

Known: questions of the data sets; tokens of a prompt (mean over 300 questions; the demo model's
tokenizer stands for Llama's); FLOP from the layers' widths; peaks from NVIDIA's data sheets (dense
bfloat16). Measured on CPUs with the demo model: `share`, the layer runs that prefix sharing leaves
(tests/bench/LOG.md: 0.46 where choices are scored, 0.53 where letters are generated). Every
question spends its whole budget (a search that stops at the first improvement spends less: the
demo's spends 39 %), and paths are as long as the model is deep. Loading a model (minutes) is not in
it.

The rate is what nobody knows before a card is there, so each row says where its own comes from:

- *bounded*: between the whole peak, which no engine can beat, and the least that
  `deploy/runs/gpu_check.py` lets a card pass with (`RULE_SHARES` of a plain product);
- *assumed*: the same from below, and at most what `ASSUMED_SHARE` of the peak takes, which no rule
  demands: answers of several dozen tokens are decoded token by token where no draft fits;
- *measured*: on your card, with `--measured gpu.jsonl`, what `gpu_check.py --out` wrote there.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PEAK_FLOPS = {"A100": 312e12, "H100": 989e12}
LAYERS = 28
"""Of Llama-3.2-3B: width 3072, feed-forward 8192, 24 heads and 8 key-value heads of 128."""
FLOP_PER_LAYER_TOKEN = 2.0 * (2 * 3072 * 3072 + 2 * 3072 * 1024 + 3 * 3072 * 8192)
RULE_SHARES = {"generated": 0.2}
"""Of a plain product's speed: what part C of `gpu_check.py` demands of short generated answers."""
PRODUCT_SHARE = 0.7
"""A large plain product's share of the data sheet's peak, at least; assumed, and part A of
`gpu_check.py` measures it."""
ASSUMED_SHARE = 0.05
"""The share of the peak that long generated answers are assumed to reach at least."""


@dataclass(frozen=True, kw_only=True)
class NamedRun:
    """A run of this folder and what its cost depends on."""

    name: str
    questions: int
    paths: int
    """The budget of a question."""
    tokens: int
    """Of a prompt with its answers: what one path computes."""
    share: float
    """The share of the layer runs that are left when paths share prefixes."""
    answer_tokens: int
    """Of an answer: letters are short, mathematics is long."""

    @property
    def flop(self) -> float:
        """All the arithmetic of the run."""
        per_path = self.tokens * LAYERS * FLOP_PER_LAYER_TOKEN * self.share
        return self.questions * self.paths * per_path

    @property
    def is_short(self) -> bool:
        """Whether its answers are as short as those that `gpu_check.py` has a rule for."""
        return self.answer_tokens <= 15

    @property
    def least_share(self) -> float:
        """The smallest share of the peak that is counted on."""
        return RULE_SHARES["generated"] * PRODUCT_SHARE if self.is_short else ASSUMED_SHARE

    @property
    def basis(self) -> str:
        """Where the rate comes from while nothing was measured."""
        kind = "bounded" if self.is_short else "assumed"
        return f"{kind}: 100 % to {100 * self.least_share:.0f} % of the peak"

    def gpu_hours(self, flops_per_s: float) -> float:
        """See the top of this file."""
        return self.flop / flops_per_s / 3600.0

    def bounds(self, peak_flops: float) -> tuple[float, float]:
        """GPU-hours on a card of that peak: at least, and at most."""
        return self.gpu_hours(peak_flops), self.gpu_hours(peak_flops * self.least_share)


RUNS = (
    NamedRun(
        name="drllm-arc-easy",
        questions=2242,
        paths=50,
        tokens=93 + 10,
        share=0.53,
        answer_tokens=10,
    ),
    NamedRun(
        name="drllm-arc-challenge",
        questions=1112,
        paths=50,
        tokens=101 + 10,
        share=0.53,
        answer_tokens=10,
    ),
    NamedRun(
        name="drllm-dart",
        questions=3000,
        paths=50,
        tokens=127 + 48,
        share=0.53,
        answer_tokens=48,
    ),
    NamedRun(
        name="cola-arc-challenge",
        questions=1112,
        paths=200,
        tokens=101 + 10,
        share=0.53,
        answer_tokens=10,
    ),
    NamedRun(
        name="cola-dart", questions=500, paths=200, tokens=127 + 48, share=0.53, answer_tokens=48
    ),
    NamedRun(
        name="polar-dart", questions=3000, paths=100, tokens=127 + 48, share=0.53, answer_tokens=48
    ),
)


@dataclass(frozen=True, kw_only=True)
class MeasuredCard:
    """What `gpu_check.py` measured of a card, with the shape of Llama-3.2-3B."""

    name: str
    flops_per_s: Mapping[int, float]
    """The best that was reached, by the tokens of the generated answers."""

    def rate(self, run: NamedRun) -> tuple[int, float]:
        """The tokens of the answers that are most like a run's, and what was reached there."""
        tokens = min(self.flops_per_s, key=lambda item: (abs(item - run.answer_tokens), item))
        return tokens, self.flops_per_s[tokens]


def read_card(path: Path) -> MeasuredCard:
    """A card from the lines of `gpu_check.py --out`.

    Raises:
        SystemExit: the file does not have what it takes.
    """
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line[:1] == "{"]
        figures = {line["part"]: line["figures"] for line in lines if "figures" in line}
        name, cells = figures["A"]["card"], figures["C"]
        product = 1e12 * float(cells["3B product_tflops"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SystemExit(
            f"--measured is {path}, and parts A and C of gpu_check.py can't be read there "
            f"({type(error).__name__}: {error}); write it with gpu_check.py --out on the card"
        ) from error
    rates: dict[int, float] = {}
    for key, cell in cells.items():
        if key.startswith("3B generated ") and isinstance(cell, dict) and cell.get("mfu"):
            tokens = int(key.removeprefix("3B generated ").partition(",")[0])
            rates[tokens] = max(rates.get(tokens, 0.0), cell["mfu"] * product)
    if not rates or not name:
        raise SystemExit(
            f"--measured is {path}, which has no generated answers of a GPU; let part C of "
            "gpu_check.py run to its end on the card"
        )
    return MeasuredCard(name=str(name), flops_per_s=rates)


def bounded_table(price: float | None, currency: str) -> list[list[str]]:
    """The rows, with a title, of what is known without a card."""
    rows = [["run", "questions", "budget", "tokens", *(f"{gpu}-hours" for gpu in PEAK_FLOPS)]]
    rows[0] += ["rate", *([f"cost on the {list(PEAK_FLOPS)[-1]}, {currency}"] if price else [])]
    for run in RUNS:
        bounds = [run.bounds(peak) for peak in PEAK_FLOPS.values()]
        cost = [_span(*(price * hours for hours in bounds[-1]))] if price else []
        rows.append([*_facts(run), *(_span(*hours) for hours in bounds), run.basis, *cost])
    return rows


def measured_table(card: MeasuredCard, price: float | None, currency: str) -> list[list[str]]:
    """The rows, with a title, of what a card takes that was measured."""
    rows = [["run", "questions", "budget", "tokens", f"hours of {card.name}", "rate"]]
    rows[0] += [f"cost, {currency}"] if price else []
    for run in RUNS:
        tokens, rate = card.rate(run)
        hours = run.gpu_hours(rate)
        basis = f"measured: {rate / 1e12:.0f} TFLOP/s with answers of {tokens} tokens"
        cost = [f"{price * hours:.2f}"] if price else []
        rows.append([*_facts(run), f"{hours:.2f}", basis, *cost])
    return rows


def _facts(run: NamedRun) -> list[str]:
    return [f"`{run.name}`", f"{run.questions:,}", str(run.paths), str(run.tokens)]


def _span(least: float, most: float) -> str:
    return f"{least:.2f} to {most:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of deploy/README.md, or that of a card and a price of your own."""
    parser = argparse.ArgumentParser(description="What the named runs cost.")
    parser.add_argument("--measured", type=Path, help="what gpu_check.py --out wrote on your card")
    parser.add_argument("--price-per-gpu-hour", type=float, help="adds a column of costs")
    parser.add_argument("--currency", default="", help="what the price is in: a free word")
    asked: Any = parser.parse_args(arguments)
    price, currency = asked.price_per_gpu_hour, asked.currency or "as the price"
    if asked.measured is None:
        rows = bounded_table(price, currency)
    else:
        rows = measured_table(read_card(asked.measured), price, currency)
    title, *others = (f"| {' | '.join(row)} |" for row in rows)
    print("\n".join([title, f"|{'---|' * len(rows[0])}", *others]))


if __name__ == "__main__":
    main()
