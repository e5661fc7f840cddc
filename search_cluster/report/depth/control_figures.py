"""The plots of a depth study's controls."""

from collections.abc import Iterable

from search_cluster.depth.orders import OrderControl
from search_cluster.depth.resamples import Curve
from search_cluster.depth.result import DepthResult
from search_cluster.report.chart import ReportFigure
from search_cluster.report.depth.curves import CurveView, curve_figure, named_curves


def lens_control_figure(result: DepthResult) -> ReportFigure | None:
    """A tuned lens beside itself with its translators shuffled."""
    control = result.text.control
    found = {} if control is None else control.divergence
    return curve_figure(
        "What a tuned lens says whatever it reads",
        "KL from the output in nats. Shuffled: each depth is read by the translator of another "
        "one; as far as that is below the logit lens, the gain is not read in the layer.",
        [CurveView(label="KL", curves=named_curves(found, found.values()))],
        y_title="nats",
        factor=1.0,
    )


def order_figures(result: DepthResult) -> Iterable[ReportFigure | None]:
    """Choices in another order, and with other letters."""
    controls = () if result.questions is None else result.questions.order_controls
    forms = dict.fromkeys((item.options, item.form, item.lens) for item in controls)
    views, offers = [], []
    for form in forms:
        cases = {
            item.case: item for item in controls if (item.options, item.form, item.lens) == form
        }
        label = ", ".join(form[1:] if form[0] in form[1] else form)
        views.append(CurveView(label=label, curves=named_curves(*_same(cases))))
        whole = cases["all"]
        if whole.offered is not None and whole.offered_usually is not None:
            curves = (whole.offered, whole.offered_usually)
            offers.append(
                CurveView(label=label, curves=named_curves((whole.form, "as usual"), curves))
            )
    yield curve_figure(
        "Content or place",
        "The share of questions in which the same text, or the same place, is the best in two "
        "forms of a question, at the same depth. Right and wrong: the usual answer at the end.",
        views,
        y_title="questions, %",
    )
    yield curve_figure(
        "Are the letters that are offered collected?",
        "What letters of choices have of the probability of these and of as many other letters.",
        offers,
        y_title="share, %",
    )


def _same(cases: dict[str, OrderControl]) -> tuple[list[str], list[Curve]]:
    names, curves = [], []
    for case, item in cases.items():
        names.append("same text" if case == "all" else f"same text, {case}")
        curves.append(item.same_text)
    place = cases["all"].same_place
    if place is not None:
        names.append("same place")
        curves.append(place)
    return names, curves


def patching_figure(result: DepthResult) -> ReportFigure | None:
    """Which options runs answer with that have another prompt's state."""
    part = result.patching
    if part is None:
        return None
    cases = {item.case: item for item in part.cases}
    whole = cases["all"]
    parted = {case: item.donors for case, item in cases.items() if case != "all"}
    return curve_figure(
        f"Runs of {part.recipient} with states of {part.donor}",
        "The state of the donor's last position takes the recipient's last place at one depth, and "
        "the layers behind it run. The share of pairs by which option is the likeliest.",
        [
            CurveView(
                label="answer",
                curves=named_curves(
                    ("one of the donor's options", "the donor's answer", "the recipient's answer"),
                    (whole.donors, whole.donors_answer, whole.recipients_answer),
                ),
            ),
            CurveView(
                label="donor right or wrong",
                curves=named_curves(
                    (f"the donor's options, donor {case}" for case in parted), parted.values()
                ),
            ),
            CurveView(
                label="probability",
                curves=named_curves(
                    ("the donor's options", "the recipient's options"),
                    (whole.donors_mass, whole.recipients_mass),
                ),
            ),
        ],
        y_title="pairs, %",
    )
