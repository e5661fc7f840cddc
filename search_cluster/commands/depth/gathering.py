"""Reads all experiments of a study: text, word classes, facts, questions, paths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search_cluster.commands.depth.asked import FACT_TASKS, StudyRequest
from search_cluster.commands.depth.drawn import DrawnQuestions
from search_cluster.commands.depth.forms import FormReader
from search_cluster.commands.depth.gathered import Gathered, GatheredQuestions, GatheredText
from search_cluster.commands.depth.inputs import StudyInputs
from search_cluster.commands.depth.lenses import NamedLens, StudyLenses, lenses_of
from search_cluster.commands.depth.patching import PatchPlan, gather_patched
from search_cluster.commands.depth.reading import StudyReader
from search_cluster.depth.buckets import buckets_of, corpus_counts, frequent_word
from search_cluster.depth.lens_control import shuffled_order
from search_cluster.model.depth_states.tables import (
    REWEIGHTED,
    SHUFFLED,
    TUNED,
    ReadingTable,
)
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import AnswerKind, Task

if TYPE_CHECKING:
    from search_cluster.model.depth_states.probes import PromptProbe
    from search_cluster.model.loaded import LoadedModel
    from search_cluster.tasks.example import Example


@dataclass(slots=True)
class StudyGathering:
    """Gathers what a study needs; each part is kept as soon as it is read."""

    request: StudyRequest
    loaded: "LoadedModel"
    task: Task
    questions: DrawnQuestions
    inputs: StudyInputs
    lens: NamedLens | None
    """The lens that is named; ``None``: one is fitted."""
    paths: tuple[LayerPath, ...]
    patch: PatchPlan | None
    reader: StudyReader
    on_stage: Callable[[str], None]
    """Called with what begins, in words."""

    def gather(self) -> tuple[Gathered, StudyLenses]:
        """Read everything."""
        from search_cluster.model.depth_states.text_probes import first_prompts

        others = self.questions.others
        text, lenses, probes = self._text(others)
        words = self._words(lenses)
        facts = self._facts(lenses)
        questions = self._questions(lenses, others)
        patch = None
        if self.patch is not None:
            self.on_stage("patched runs")
            patch = gather_patched(self.reader, lenses.read, self.patch)
        along = []
        few = first_prompts(probes, self.request.settings.path_positions)
        for number, path in enumerate(self.paths):
            self.on_stage(f"path {path}")
            along.append(self.reader.path(f"path-{number}", lenses.read, few, path))
        return (
            Gathered(
                text=text,
                words=words,
                facts=facts,
                questions=questions,
                paths=self.paths,
                along=along,
                patch=patch,
            ),
            lenses,
        )

    def _text(
        self, others: "Sequence[Example]"
    ) -> "tuple[GatheredText, StudyLenses, Sequence[PromptProbe]]":
        from search_cluster.model.depth_states.text_probes import (
            corpus_ids,
            draw_sequences,
            first_prompts,
            text_probes,
        )
        from search_cluster.model.lens.texts import sequences_of_questions

        settings, seed, texts = self.request.settings, self.request.config.seed, self.inputs.texts
        vocabulary = int(self.loaded.model.config.vocab_size)
        counts_V = corpus_counts(corpus_ids(texts), vocabulary)
        word = frequent_word(counts_V, self.text_of)
        has_file = self.request.text is not None
        fit_tokens = settings.fit_tokens // (2 if has_file else 1)
        studied, fitted = draw_sequences(
            texts, num_positions=settings.positions, num_fit_tokens=fit_tokens, seed=seed
        )
        probes = text_probes(studied, num_positions=settings.positions, seed=seed)
        source = texts.source
        if has_file:
            source += f" and prompts of {self.task.name}"
        self.on_stage("lens")
        lenses = lenses_of(
            self.loaded,
            self.lens,
            self.request.out,
            token=word,
            fit_on=lambda: [
                *fitted,
                *(
                    sequences_of_questions(self.loaded, self.task, others, num_tokens=fit_tokens)[0]
                    if has_file
                    else ()
                ),
            ],
            source=source,
            needs_pair=settings.bias_positions > 0,
        )
        self.on_stage("positions of text")
        table = self.reader.table("text", lenses.read, probes, buckets_of(counts_V))
        bias: ReadingTable | None = None
        if lenses.pair and settings.bias_positions:
            self.on_stage("the lens' own bias")
            pair = {name: lenses.pair[name] for name in (TUNED, REWEIGHTED)}
            few = first_prompts(probes, settings.bias_positions)
            bias = self.reader.table("bias", pair, few)
        shuffled: ReadingTable | None = None
        order = shuffled_order(self.loaded.num_layers, seed)
        if TUNED in lenses.read and settings.shuffled_positions and order is not None:
            self.on_stage("the lens with its translators shuffled")
            few = first_prompts(probes, settings.shuffled_positions)
            mixed = {SHUFFLED: lenses.read[TUNED]}
            translators = (*order, self.loaded.num_layers)
            shuffled = self.reader.table("shuffled", mixed, few, translators=translators)
        gathered = GatheredText(
            source=texts.source,
            table=table,
            counts_V=counts_V,
            bias=bias,
            word=word,
            taught=lenses.taught,
            shuffled=shuffled,
            order=order,
        )
        return gathered, lenses, probes

    def text_of(self, token: int) -> str:
        """What a token says."""
        return str(self.loaded.tokenizer.decode([token]))

    def _words(self, lenses: StudyLenses) -> ReadingTable | None:
        if self.inputs.words is None:
            return None
        self.on_stage("word classes")
        return self.reader.table("words", lenses.read, self.inputs.words)

    def _facts(self, lenses: StudyLenses) -> list[tuple[str, ReadingTable]]:
        from search_cluster.model.depth_states.answer_probes import gold_probes

        if self.request.facts is None or self.inputs.facts is None:
            return []
        self.on_stage("facts")
        settings, seed = self.request.settings, self.request.config.seed
        table = self.reader.table("facts", lenses.read, self.inputs.facts)
        found = [(self.request.facts.name, table)]
        for name in FACT_TASKS:
            task = get_task(name)
            pool = task.load("train", None).examples
            examples = select_examples(pool, settings.known // 3, seed)
            gold = gold_probes(self.loaded, task, examples)
            facts = facts_of(pool)
            fact_P = np.array([facts[item.example_id] for item in examples], dtype=np.int64)
            table = self.reader.table(f"facts-{name}", lenses.read, gold)
            found.append((name, table.of_facts(fact_P)))
        return found

    def _questions(self, lenses: StudyLenses, others: "Sequence[Example]") -> GatheredQuestions:
        settings, usable = self.request.settings, self.inputs.usable
        self.on_stage("questions")
        decisions = later = letters = texts = texts_are_shown = None
        prefixes = found = skips = None
        num_layers = self.loaded.num_layers
        gold_Q = np.array(
            [-1 if item.gold_index is None else item.gold_index for item in usable], dtype=np.int64
        )
        facts = facts_of([*self.questions.studied, *others])
        fact_Q = np.array([facts[item.example_id] for item in usable], dtype=np.int64)
        identity = LayerPath.identity(num_layers)
        if self.task.kind is AnswerKind.CHOICE:
            decisions, later = self.reader.questions(
                "questions", lenses.read, self.inputs.by_question
            )
            decisions = decisions.of_facts(fact_Q)
            forms = FormReader(
                loaded=self.loaded,
                reader=self.reader,
                lenses=lenses.read,
                settings=settings,
                seed=self.request.config.seed,
            )
            self.on_stage("letters")
            letters = forms.letters(usable, others)
            self.on_stage("other orders")
            texts, texts_are_shown = forms.texts(self.task, usable)
            self.on_stage("prefix paths")
            paths = [
                LayerPath(tuple(range(depth)), num_layers) for depth in range(1, num_layers + 1)
            ]
            prefixes = self.reader.executed("prefixes", self.task, usable, paths)
            plain = prefixes.of_last_path()
        else:
            plain = self.reader.executed("plain", self.task, usable, [identity])
        if self.paths:
            self.on_stage("answers of the paths")
            found = self.reader.executed("found", self.task, usable, self.paths)
        if settings.skip_questions:
            self.on_stage("single skips")
            singles = [
                LayerPath(tuple(item for item in range(num_layers) if item != layer), num_layers)
                for layer in range(num_layers)
            ]
            few = usable[: settings.skip_questions]
            skips = self.reader.executed("skips", self.task, few, singles)
        return GatheredQuestions(
            task=self.task.name,
            split=self.request.config.split,
            gold_Q=gold_Q,
            fact_Q=fact_Q,
            num_choices=tuple(len(item.choices) for item in usable),
            left_out=len(self.questions.studied) - len(usable),
            decisions=decisions,
            later=later,
            letters=letters,
            texts=texts,
            texts_are_shown=texts_are_shown,
            prefixes=prefixes,
            plain=plain,
            found=found,
            skips=skips,
            num_options=max(len(item.choices) for item in usable),
        )
