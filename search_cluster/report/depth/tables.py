"""The tables of a depth study's page."""

from collections.abc import Iterable

from search_cluster.depth.layers import TOP
from search_cluster.depth.onset import OnsetFigures
from search_cluster.depth.result import DepthResult, QuestionPart
from search_cluster.depth.verdicts import BAND_NAMES
from search_cluster.report.depth.control_tables import control_tables
from search_cluster.report.depth.numbers import number, verdict_of
from search_cluster.report.depth.table import DepthTable


def depth_tables(result: DepthResult) -> list[DepthTable]:
    """All tables that have rows, in the order of the page."""
    tables = [
        _layers(result),
        _priors(result),
        *_verdicts(result.questions),
        _contrasts(result),
        _orders(result),
        *control_tables(result),
        _onsets(result),
        _buckets(result),
    ]
    return [table for table in tables if table.rows]


def _layers(result: DepthResult) -> DepthTable:
    lenses = list(result.layers[0].progress) if result.layers else []
    rows = [
        (
            str(card.layer),
            f"{card.score:.2f}",
            number(card.influence, digits=3),
            *(number(card.progress[lens], sign=True) for lens in lenses),
            *(number(card.repairs[lens], percent=True, sign=True) for lens in lenses),
            "" if card.skip_change is None else number(card.skip_change),
            ""
            if card.skip_accuracy is None
            else number(card.skip_accuracy, percent=True, sign=True),
        )
        for card in result.layers
    ]
    return DepthTable(
        id="layers",
        title="Layer cards",
        caption="Score: how little is lost if the layer is skipped, by lens and influence alone "
        "(1: skip it first).",
        columns=(
            "layer",
            "score",
            "block influence",
            *(f"KL progress, {lens}" for lens in lenses),
            *(f"guesses made final, {lens}" for lens in lenses),
            "skipped alone: change of answers",
            "accuracy",
        ),
        rows=tuple(rows),
    )


def _priors(result: DepthResult) -> DepthTable:
    """How well each figure of layers foretells what skipping them does."""
    paths = list(result.prior_checks[0].held) if result.prior_checks else []
    rows = [
        (
            check.by,
            number(check.spearman),
            str(check.spearman.n),
            *(str(check.held[path]) for path in paths),
        )
        for check in result.prior_checks
    ]
    return DepthTable(
        id="priors",
        title="What foretells single skips",
        caption="The rank correlation, over layers, of what is known beforehand with how little "
        "the task's answers change if a layer alone is skipped; and how many of the layers that a "
        f"path skips are among the first {TOP} by it. A scan takes influence on text alone "
        "(--depth-prior).",
        columns=("by", "rank correlation", "questions", *(f"skipped by {path}" for path in paths)),
        rows=tuple(rows),
    )


def _verdicts(part: QuestionPart | None) -> Iterable[DepthTable]:
    if part is None:
        return
    rows = []
    for item in part.agreements:
        for case, confusion in (("right", item.confusion_right), ("wrong", item.confusion_wrong)):
            rows += [
                (item.lens, case, BAND_NAMES[place], *map(str, counts))
                for place, counts in enumerate(confusion)
            ]
    yield DepthTable(
        id="verdicts",
        title="Verdict depth against lens depth",
        caption="Questions by the depth from which on prefix paths give the final answer (rows) "
        "and from which on the lens does (columns), in thirds of the model.",
        columns=("lens", "answer", "by execution", *(f"lens: {name}" for name in BAND_NAMES)),
        rows=tuple(rows),
    )
    yield DepthTable(
        id="effects",
        title="What paths do to answers",
        caption=f"{part.questions:,} questions of {part.split}; a path that was chosen on them is "
        "flattered.",
        columns=("path", "right", "minus plain"),
        rows=tuple(
            (
                item.path,
                number(item.accuracy, percent=True),
                number(item.change, percent=True, sign=True),
            )
            for item in part.path_effects
        ),
    )
    yield DepthTable(
        id="predictions",
        title="What tells the fate of an answer",
        caption="Areas under the ROC curve, out of fold; 0.5 is chance.",
        columns=("path", "answers that are", "by", "share", "AUC", "minus margin alone", "n"),
        rows=tuple(
            (
                item.path,
                item.what,
                item.by,
                f"{100 * item.share:.1f} %",
                number(item.auc),
                "" if item.gain is None else number(item.gain, sign=True),
                str(item.auc.n),
            )
            for item in part.predictions
        ),
    )


def _contrasts(result: DepthResult) -> DepthTable:
    contrasts = () if result.word_classes is None else result.word_classes.contrasts
    return DepthTable(
        id="contrasts",
        title="Word classes compared",
        caption="Difference of mean onsets in layers; below 0 the first group comes earlier. "
        "Matched: at equal entropy of the model's output.",
        columns=("groups", "lens", "answer", "k", "crossing", "matched", "difference", "", "n"),
        rows=tuple(
            (
                item.what,
                item.lens,
                item.case,
                str(item.threshold),
                item.crossing,
                "yes" if item.matched else "no",
                number(item.difference, sign=True),
                verdict_of(item.difference),
                f"{item.difference.n:,}",
            )
            for item in contrasts
        ),
    )


def _orders(result: DepthResult) -> DepthTable:
    return DepthTable(
        id="facts",
        title="First and second tokens of answers",
        caption="First minus second onset of the same answer, in layers: of answers whose two "
        "tokens the model predicts (right), of what it predicts in their places, right or not "
        "(all), and of the true tokens, whatever it predicts (gold).",
        columns=("facts", "lens", "cases", "k", "crossing", "first - second", "", "n", "left out"),
        rows=tuple(
            (
                part.source,
                item.lens,
                item.case,
                str(item.threshold),
                item.crossing,
                number(item.difference, sign=True),
                verdict_of(item.difference),
                f"{item.difference.n:,}",
                f"{item.left_out:,}",
            )
            for part in result.facts
            for item in part.orders
        ),
    )


def _onsets(result: DepthResult) -> DepthTable:
    sources: list[tuple[str, tuple[OnsetFigures, ...]]] = [("text", result.text.onsets)]
    if result.word_classes is not None:
        sources.append(("word classes", result.word_classes.onsets))
    sources += [(part.source, part.onsets) for part in result.facts]
    return DepthTable(
        id="onsets",
        title="Onsets",
        caption="First crossing and stable onset of the model's own prediction, beside what means "
        "hide: predictions that never cross, and those that leave again.",
        columns=(
            "positions",
            "group",
            "lens",
            "answer",
            "k",
            "first",
            "stable",
            "leave again",
            "n",
        ),
        rows=tuple(
            (
                source,
                item.group,
                item.lens,
                item.case,
                str(item.threshold),
                number(item.first),
                number(item.stable),
                number(item.leaves, percent=True),
                f"{item.leaves.n:,}",
            )
            for source, onsets in sources
            for item in onsets
            if item.leaves.n
        ),
    )


def _buckets(result: DepthResult) -> DepthTable:
    return DepthTable(
        id="buckets",
        title="Tokens of the buckets",
        caption=f"Counted on {result.text.corpus_tokens:,} tokens of {result.text.source}.",
        columns=("ranks", "share of the corpus", "tokens", "white space", "digits", "the first"),
        rows=tuple(
            (
                bucket.name,
                f"{100 * bucket.corpus_share:.1f} %",
                f"{bucket.num_tokens:,}",
                f"{bucket.num_blank:,}",
                f"{bucket.num_digits:,}",
                " ".join(map(repr, bucket.shown)),
            )
            for bucket in result.text.buckets
        ),
    )
