"""What the named runs cost in GPU-hours, from arithmetic: `python deploy/runs/cost.py`.

    GPU-hours = questions x paths x tokens x layers x FLOP per (layer, token) x share
                / (peak x utilisation) / 3600

Known: questions of the data sets; tokens of a prompt (mean over 300 questions; the demo model's
tokenizer stands for Llama's); FLOP from the layers' widths; peak from NVIDIA's data sheets (dense
bfloat16). Measured on CPUs with the demo model: `share`, the layer runs that prefix sharing leaves
(tests/bench/LOG.md: 0.46 where choices are scored, 0.53 where letters are generated). Assumed,
because no GPU was at hand: `utilisation`, the share of the peak that the engine reaches; every
question spends its whole budget (a search that stops at the first improvement spends less: the
demo's spends 39 %); paths are as long as the model is deep. So: the right order of magnitude, and
an upper one if the assumed utilisation is reached. Loading a model (minutes) is not in it.
`deploy/runs/gpu_check.py` measures what is reached (`mfu` of part C).
"""

from dataclasses import dataclass

PEAK_FLOPS = {"A100": 312e12, "H100": 989e12}
LAYERS = 28
"""Of Llama-3.2-3B: width 3072, feed-forward 8192, 24 heads and 8 key-value heads of 128."""
FLOP_PER_LAYER_TOKEN = 2.0 * (2 * 3072 * 3072 + 2 * 3072 * 1024 + 3 * 3072 * 8192)


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
    utilisation: float
    """The share of the peak that is reached. Generated mathematics decodes token by token where no
    draft fits, which is slower."""

    def gpu_hours(self, peak_flops: float) -> float:
        """See the top of this file."""
        flop = (
            self.questions * self.paths * self.tokens * LAYERS * FLOP_PER_LAYER_TOKEN * self.share
        )
        return flop / (peak_flops * self.utilisation) / 3600.0


RUNS = (
    NamedRun(
        name="drllm-arc-easy", questions=2242, paths=50, tokens=93 + 10, share=0.53, utilisation=0.2
    ),
    NamedRun(
        name="drllm-arc-challenge",
        questions=1112,
        paths=50,
        tokens=101 + 10,
        share=0.53,
        utilisation=0.2,
    ),
    NamedRun(
        name="drllm-dart", questions=3000, paths=50, tokens=127 + 48, share=0.53, utilisation=0.05
    ),
    NamedRun(
        name="cola-arc-challenge",
        questions=1112,
        paths=200,
        tokens=101 + 10,
        share=0.53,
        utilisation=0.2,
    ),
    NamedRun(
        name="cola-dart", questions=500, paths=200, tokens=127 + 48, share=0.53, utilisation=0.05
    ),
    NamedRun(
        name="polar-dart", questions=3000, paths=100, tokens=127 + 48, share=0.53, utilisation=0.05
    ),
)


def main() -> None:
    """Print the table of deploy/README.md."""
    print(
        "| run | questions | budget | tokens | A100-hours | H100-hours |\n|---|---|---|---|---|---|"
    )
    for run in RUNS:
        hours = " | ".join(f"{run.gpu_hours(peak):.2f}" for peak in PEAK_FLOPS.values())
        print(f"| `{run.name}` | {run.questions:,} | {run.paths} | {run.tokens} | {hours} |")


if __name__ == "__main__":
    main()
