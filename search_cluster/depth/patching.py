"""Whether a state carries the form of its answer: one task's states in the runs of another.

A lens says from which depth on the options of a task are among the likeliest tokens. Here the state
at that depth is put into the run of a prompt that asks for other options, at the same position, the
last one, and the layers behind it run: the options of which prompt does it answer with? That is
about the model itself, not about a lens.

Shapes: N pairs of a donor and a recipient, S states of a position, K options.
"""

from dataclasses import dataclass

import numpy as np

from search_cluster.depth.options import cases_of, collected_depth, settled_depth
from search_cluster.depth.resamples import Curve, Measured, Resamples
from search_cluster.model.depth_states.patch_readings import PatchReadings
from search_cluster.model.depth_states.tables import Floats, Ints, ReadingTable


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCase:
    """What patched runs answer, for some of the pairs."""

    case: str
    """``all`` pairs, or those whose donor's own answer is ``right``, or ``wrong``."""
    donors: Curve
    """The share of pairs whose likeliest option is one of the donor's, patched at each depth."""
    donors_answer: Curve
    """The share in which it is the donor's own answer."""
    recipients_answer: Curve
    """The share in which it is the answer that the recipient gives by itself."""
    donors_mass: Curve
    """The probability of the donor's options."""
    recipients_mass: Curve
    """The probability of the recipient's options."""
    turned: Measured
    """The mean depth from which on the likeliest option is one of the donor's; L + 1 counts for
    pairs in which it is not even behind the last layer, that is for the donor by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedLens:
    """What a lens says of the donors, beside what their states do."""

    lens: str
    collected: Measured
    """The mean depth from which on it finds the donor's options among the likeliest tokens."""
    turned_later: Measured
    """How much deeper patched runs turn to these options: above 0, the lens says it too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPart:
    """What patching says."""

    donor: str
    """The task whose states are put in."""
    recipient: str
    """The task whose prompts run."""
    donor_options: tuple[str, ...]
    recipient_options: tuple[str, ...]
    pairs: int
    cases: tuple[PatchCase, ...]
    """Those that have a pair."""
    lenses: tuple[PatchedLens, ...]


def patch_cases(
    readings: PatchReadings, gold_N: Ints, num_donors: int, fact_N: Ints | None = None
) -> tuple[PatchCase, ...]:
    """Count what patched runs answer.

    Args:
        readings: what was read; of the options, the first ones are the donors'.
        gold_N: the place of each donor's right option.
        num_donors: how many options donors have.
        fact_N: what pairs are drawn by, such as their facts; ``None``: one by one.
    """
    fact_N = readings.prompt_N if fact_N is None else fact_N
    log_SNK = readings.log_SNK[:-1].astype(np.float64)
    own_N = readings.log_SNK[-1, :, num_donors:].argmax(axis=1) + num_donors
    donors_own_N = log_SNK[-1, :, :num_donors].argmax(axis=1)
    best_SN = log_SNK.argmax(axis=2)
    mass_SNK = np.exp(log_SNK)
    turned_N = turned_depth(readings, num_donors)
    cases = []
    for case, rows_N in cases_of(donors_own_N == gold_N):
        resamples = Resamples(fact_N[rows_N])
        curves = {
            "donors": best_SN < num_donors,
            "donors_answer": best_SN == donors_own_N,
            "recipients_answer": best_SN == own_N,
            "donors_mass": mass_SNK[:, :, :num_donors].sum(axis=2),
            "recipients_mass": mass_SNK[:, :, num_donors:].sum(axis=2),
        }
        cases.append(
            PatchCase(
                case=case,
                turned=resamples.mean(turned_N[rows_N]),
                **{
                    name: resamples.mean_curve(values_SN[:, rows_N])
                    for name, values_SN in curves.items()
                },
            )
        )
    return tuple(cases)


def turned_depth(readings: PatchReadings, num_donors: int) -> Floats:
    """The depth from which on the likeliest option is one of the donor's; L + 1: never."""
    return settled_depth(readings.log_SNK[:-1].argmax(axis=2) < num_donors)


def patched_lenses(
    readings: PatchReadings, donors: ReadingTable, num_donors: int, fact_N: Ints | None = None
) -> tuple[PatchedLens, ...]:
    """Compare the depth at which patched runs turn with what lenses say of the donors.

    Args:
        readings: of the pairs.
        donors: what lenses read of the same pairs' donors.
        num_donors: how many options donors have.
        fact_N: as for `patch_cases`.
    """
    resamples = Resamples(readings.prompt_N if fact_N is None else fact_N)
    turned_N = turned_depth(readings, num_donors)
    found = []
    for lens in donors.lenses:
        collected_N = collected_depth(donors, lens, slice(1, 1 + num_donors))
        found.append(
            PatchedLens(
                lens=lens,
                collected=resamples.mean(collected_N),
                turned_later=resamples.mean(turned_N - collected_N),
            )
        )
    return tuple(found)
