"""Settings of a router's training, each with its one default and its one help text."""

from dataclasses import dataclass, field, fields

from search_cluster.errors import ConfigError
from search_cluster.hub_spec import FolderKind
from search_cluster.options.fields import flag_of

KEEP_RIGHT, KEEP_CHANGED, KEEP_ALL = "right", "changed", "all"
FEATURE_DTYPES = ("float32", "float16", "bfloat16")
LABELS_BEST, LABELS_UNGUARDED = "best", "unguarded"
BALANCE_EFFECTIVE, BALANCE_INVERSE = "effective", "inverse"
LOSS_VERDICT, LOSS_MARGIN = "verdict", "margin"
LABEL_GOLD, LABEL_FINAL = "gold", "final"
EXIT_PROMPT, EXIT_TOKEN = "prompt", "token"
STATIC_PATH = "static"
LEARN_ANSWER, LEARN_TOKENS, LEARN_FULL = "answer", "tokens", "full"
READOUT_ATTENTION, READOUT_MIX, READOUT_SINGLE = "attention", "mix", "single"
READOUT_BEST = "best"
AIM_LAYERS, AIM_ACCURACY = "layers", "accuracy"
FEATURE_CACHE_GB = 4.0
"""What stays of stored features after a training, in gigabytes, unless somebody says otherwise."""
NO_FLAG = {"flag": None}
"""Marks a field that no flag of ``router-train fit`` sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """What a training run depends on beside the corpus and the model.

    The defaults follow Dr.LLM (arXiv 2510.12773). The options of ``router-train fit`` are made from
    these fields (see `search_cluster.options`).

    Raises:
        ConfigError: a value is out of its range.
    """

    router: str = "drllm"
    """The kind of router: drllm, polar, menu, early-exit, lens-exit, shortcut, static or
    identity."""
    seed: int = 0
    """The seed of the initial weights and of the order of batches."""
    keep: str = KEEP_RIGHT
    """Which questions teach: ``right`` (some path is right, as in Dr.LLM), ``changed`` (the best
    path is not identity) or ``all`` (questions without a right path teach the identity path)."""
    labels: str = LABELS_BEST
    """Which paths teach: ``best`` (the credible best ones) or ``unguarded`` (all right ones, which
    are partly luck)."""
    train_limit: int | None = None
    """The largest number of training questions, which the seed draws; ``None``: all.

    Validation keeps its own questions, so this is an ablation of the corpus' size."""
    validation_share: float = field(default=0.15, metadata=NO_FLAG)
    """The share of facts whose questions are held out for early stopping, chosen by content hash;
    in (0, 1)."""
    num_windows: int = field(default=8, metadata={"flag": "--windows"})
    """The number of mean-pooled windows over a prompt's tokens; at least 1.

    A `menu` router reads the last token on top."""
    feature_dtype: str = field(default="float32", metadata=NO_FLAG)
    """The dtype in which prompt states are kept while training.

    A demo-size model (30 layers, width 576, 8 windows) takes 553 kB per example in float32, half of
    it in the others; float16 overflows at 65,504, bfloat16 keeps 8 bits."""
    bottleneck: int = 128
    """The width between the two linear maps of a layer's router; at least 1."""
    standardise: bool = field(default=True, metadata=NO_FLAG)
    """Whether each router's inputs are shifted and scaled to mean 0 and deviation 1 over the
    training set.

    It is an affine map before a linear one: the function class stays Dr.LLM's, but the few huge
    entries of residual streams no longer stall it."""
    epochs: int = 25
    """The largest number of passes over the training set; at least 1."""
    patience: int = 5
    """The number of epochs without a lower validation loss before training stops; at least 1."""
    batch_size: int = 16
    """The number of questions per step; at least 1."""
    learning_rate: float = field(default=1e-3, metadata={"flag": "--lr"})
    """AdamW's learning rate at the start; it falls to 0 on a half cosine over the epochs."""
    weight_decay: float = field(default=0.01, metadata=NO_FLAG)
    """AdamW's weight decay; at least 0."""
    focal_gamma: float = field(default=2.0, metadata={"flag": "--gamma"})
    """The exponent of the focal loss; 0 (cross-entropy) or at least 1.

    In between the gradient is infinite."""
    effective_beta: float = field(default=0.999, metadata={"flag": "--beta"})
    """Beta of the effective-number class weights, in [0, 1); 0 gives every class the same weight,
    for which few labels are a reason."""
    class_balance: str = field(default=BALANCE_EFFECTIVE, metadata={"flag": "--balance"})
    """How drllm's classes are weighted: ``effective`` (as published) or ``inverse`` (by inverse
    frequency).

    On thousands of labels ``effective`` is close to no balance."""
    feature_layer: int | None = None
    """The number of layers of the plain model that are read before the choice; ``None``: for menu
    those that all its paths begin with, for polar a sixth of the model.

    All paths of a `polar` router begin with that sixth."""
    loss: str = LOSS_MARGIN
    """What a menu router learns from: ``verdict`` (right minus identity's right) or ``margin`` (the
    same, softened by the distance to the decision boundary)."""
    exit_label: str = field(default=LABEL_GOLD, metadata={"flag": "--label"})
    """When a lens-exit router should stop: ``gold`` (the answer is no worse than the whole model's)
    or ``final`` (it is the whole model's, as in AdaInfer)."""
    lens: str | None = field(default=None, metadata={"hub": FolderKind.LENS})
    """The folder of the lens, or hub:NAME, that a lens-exit router reads through, fitted to other
    text than this task's; ``None``: one that it fits to questions which teach it nothing else."""
    exit_by: str = field(default=EXIT_PROMPT, metadata={"flag": "--exit"})
    """What stops in a lens-exit router: ``prompt`` (the whole answer, once) or ``token`` (each
    generated token by itself)."""
    exit_path: str | None = field(default=None, metadata={"flag": "--path"})
    """The path on which a lens-exit router stops early, or which a shortcut reads out, such as
    0-13,15-29; ``static``: the one that ``--router static`` takes; ``None``: the plain one.

    Where a lens exit is not sure it goes to this path's end, and the floor is below this path's
    accuracy."""
    sources: str | None = None
    """The layers whose changes a shortcut reads, such as ``4,9,14``; ``None``: six of its path."""
    learn: str = LEARN_ANSWER
    """What a shortcut learns: ``answer`` (the right choice; right tokens where there are none),
    ``tokens`` (the tokens of right answers) or ``full`` (to say what the full model does)."""
    readout: str = READOUT_ATTENTION
    """Which readout a shortcut keeps: ``attention``, ``mix`` (constant weights of its sources),
    ``single`` (the source that attention looks at most) or ``best`` (of these the one with the
    smallest loss on the questions that stop the training)."""
    text: str | None = None
    """A text file whose next tokens a shortcut learns beside the questions; ``None``: none."""
    text_tokens: int = 4096
    """The largest number of its tokens that are read; at least 1."""
    num_folds: int = field(default=5, metadata=NO_FLAG)
    """The number of parts of the table of verdicts; at least 2.

    Each part is judged by models that have seen only the others."""
    aim: str = AIM_LAYERS
    """What a router's threshold is chosen for, on validation data: ``layers`` (the fewest within
    the accuracy floor) or ``accuracy`` (the highest within the floor, then the fewest layers)."""
    max_drop: float = 0.5
    """The accuracy floor: percentage points below the plain model's validation accuracy; negative:
    above it."""
    floor_errors: float = 1.0
    """The number of standard errors by which the validation accuracy must clear the floor; 0: none.

    0 takes the validation accuracy at its word. That broke the floor on held-out questions where a
    threshold was chosen on 200."""
    max_layers_share: float = 1.0
    """The layer budget: mean layers per question on validation data over the plain model's; in
    (0, 1], or more where paths repeat."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.num_folds >= 2, "num_folds", self.num_folds, "at least 2")
        _require(
            self.train_limit is None or self.train_limit >= 1,
            "train_limit",
            self.train_limit,
            "at least 1",
        )
        _require(
            self.feature_layer is None or self.feature_layer >= 0,
            "feature_layer",
            self.feature_layer,
            ">= 0",
        )
        _require(
            -100 <= self.max_drop <= 100,
            "max_drop",
            self.max_drop,
            "percentage points, in [-100, 100]",
        )
        _require(self.floor_errors >= 0, "floor_errors", self.floor_errors, "at least 0")
        _require(self.max_layers_share > 0, "max_layers_share", self.max_layers_share, "above 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        _require(
            self.focal_gamma == 0 or self.focal_gamma >= 1,
            "focal_gamma",
            self.focal_gamma,
            "0, or at least 1",
        )
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(
            0 < self.validation_share < 1,
            "validation_share",
            self.validation_share,
            "between 0 and 1",
        )
        _require(0 <= self.effective_beta < 1, "effective_beta", self.effective_beta, "in [0, 1)")
        for name, allowed in _CHOICES.items():
            _require(
                getattr(self, name) in allowed,
                name,
                getattr(self, name),
                f"one of {', '.join(allowed)}",
            )

    def require_all_read(self) -> None:
        """Pass unless a setting was changed that routers of this kind do not read.

        Raises:
            ConfigError: one was.
        """
        for item in fields(self):
            readers, value = _READERS.get(item.name, (self.router,)), getattr(self, item.name)
            if value != item.default and self.router not in readers:
                raise ConfigError(
                    f"{flag_of(item)} is {value!r}, which is for --router {' or '.join(readers)}; "
                    f"a {self.router} router does not read it: leave it out"
                )


_COUNTS = ("num_windows", "bottleneck", "epochs", "patience", "batch_size", "text_tokens")
_CHOICES = {
    "keep": (KEEP_RIGHT, KEEP_CHANGED, KEEP_ALL),
    "feature_dtype": FEATURE_DTYPES,
    "labels": (LABELS_BEST, LABELS_UNGUARDED),
    "class_balance": (BALANCE_EFFECTIVE, BALANCE_INVERSE),
    "loss": (LOSS_VERDICT, LOSS_MARGIN),
    "exit_label": (LABEL_GOLD, LABEL_FINAL),
    "exit_by": (EXIT_PROMPT, EXIT_TOKEN),
    "learn": (LEARN_ANSWER, LEARN_TOKENS, LEARN_FULL),
    "readout": (READOUT_ATTENTION, READOUT_MIX, READOUT_SINGLE, READOUT_BEST),
    "aim": (AIM_LAYERS, AIM_ACCURACY),
}


_READERS = {
    "focal_gamma": ("drllm",),
    "effective_beta": ("drllm",),
    "class_balance": ("drllm",),
    "feature_layer": ("menu", "polar"),
    "loss": ("menu",),
    "exit_label": ("lens-exit",),
    "lens": ("lens-exit",),
    "exit_by": ("lens-exit",),
    "exit_path": ("lens-exit", "shortcut"),
    "sources": ("shortcut",),
    "learn": ("shortcut",),
    "readout": ("shortcut",),
    "text": ("shortcut",),
    "text_tokens": ("shortcut",),
}
"""The kinds of routers that read a setting, of settings that say so."""


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; it must be {rule}")
