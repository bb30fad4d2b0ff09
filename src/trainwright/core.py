"""The vocabulary: seven types, in the order in which they meet. Read this file first.

    Training --signals--> Run --rules--> Finding --remedies--> Trial --> report

A `Signal` says what to measure in a live `Training`; a `Run` is what was measured. A `Rule` reads a run and
yields findings. A `Remedy` answers a `Finding` by changing the live training. A `Trial` is the paired
experiment that shows whether the change helped.

All but `Training` are frozen. Nothing here imports torch or the rest of the package.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb
from typing import (
    TYPE_CHECKING,
    Annotated,
    NamedTuple,
    TypeAlias,
    TypedDict,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


class Moment(enum.Enum):
    """When in a step a signal is read or a remedy acts. There are no others."""

    START = "the first batch is about to enter the model"
    FORWARD = "the modules have run on this step's batch"
    LOSS = "backward is about to start from a scalar loss"
    GRAD = "the optimiser is about to step"
    STEP = "the optimiser has stepped"


class Severity(enum.IntEnum):
    """How bad a finding is; its lower-case name is what users read and type."""

    HINT = 1  # a symptom without shown harm: never an alarm
    HARM = 2  # trains worse than it should, by a stated reference
    FATAL = 3  # cannot train


@dataclass
class Training:
    """Live handles to the training being watched, found by the hooks. The one mutable type.

    Samples are at most 16,384 elements of a tensor, float32, of shape `(samples, units, positions)`: a unit
    is a feature of a linear layer, a channel of a convolution. The same units are sampled each time.
    """

    model: nn.Module
    optimizer: Optimizer | None = None
    batch: tuple[object, ...] = ()
    """What the root module was called with."""
    loss: Tensor | None = None
    """The scalar that backward starts from, from `Moment.LOSS` on."""
    step: int = 0
    """Optimiser steps made so far."""
    parameters: dict[str, nn.Parameter] = field(default_factory=dict)
    """Every parameter of the watched models by its full name, shared ones once."""
    outputs: dict[str, Tensor] = field(default_factory=dict)
    """A sample of what each layer put out in this step, by module name."""
    output_grads: dict[str, Tensor] = field(default_factory=dict)
    """A sample of the gradient of the loss with respect to `outputs`, from `Moment.GRAD` on."""
    activations: dict[str, tuple[str, Tensor]] = field(default_factory=dict)
    """(name, sample of the result) of each activation function, by the layer that feeds it."""
    prediction: Tensor | None = None
    """The loss function's first argument: a sample of shape `(samples, outputs)`."""
    target: Tensor | None = None
    """The loss function's second argument: `(samples,)` class ids, or `(samples, outputs)`."""
    grad_scale: Tensor | None = None
    """By what the gradients are still multiplied: a fused optimiser takes a scaler's factor out by itself."""
    before: dict[str, Tensor] = field(default_factory=dict)
    """A sample of each parameter as it was before the optimiser stepped."""
    noted: dict[str, Reading] = field(default_factory=dict)
    """Numbers that the observer counts itself, by signal: losses, passes, times."""
    memory: dict[str, object] = field(default_factory=dict)
    """What a signal keeps from one reading to the next, by the signal's name."""


Reading: TypeAlias = "tuple[tuple[str, ...], Tensor | Sequence[float | Tensor]]"
"""Places, and one value for each: a vector, so that a whole step leaves the device in one copy."""


@dataclass(frozen=True)
class Signal:
    """A quantity, its unit, and the function that reads it from a live training."""

    name: str
    summary: str
    unit: str
    at: Moment
    read: Callable[[Training], Reading | None]
    each_step: bool = False
    """Read at every step, not only at those that the budget allows."""

    def __str__(self) -> str:
        return self.name


def signal(
    *, at: Moment, unit: str, each_step: bool = False
) -> Callable[[Callable[[Training], Reading | None]], Signal]:
    """Declare the decorated reader as a signal; its docstring's first paragraph is the summary."""

    def declare(read: Callable[[Training], Reading | None]) -> Signal:
        return Signal(read.__name__, _doc(read)[0], unit, at, read, each_step)

    return declare


class Series(NamedTuple):
    """One signal over time."""

    steps: npt.NDArray[np.int64]
    """`(readings,)`, rising."""
    places: tuple[str, ...]
    """Parameter or module names; `("",)` for what belongs to the whole run."""
    values: npt.NDArray[np.float32]
    """`(readings, places)`; NaN where a place has no reading."""

    def at(self, place: str = "") -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Steps and values at one place, without the readings that the place has not.

        >>> Series(np.array([0, 1]), ("a", "b"), np.array([[1, 2], [np.nan, 3]], np.float32)).at("a")
        (array([0]), array([1.]))
        """
        if place not in self.places:
            return np.empty(0, np.int64), np.empty(0)
        column = self.values[:, self.places.index(place)]
        here = ~np.isnan(column)
        return self.steps[here], column[here].astype(np.float64)


class Where(NamedTuple):
    """A place in the network and in the user's code; `None` = unknown."""

    module: str | None = None
    parameter: str | None = None
    file: str | None = None
    line: int | None = None


class Site(TypedDict):
    """A line of the user's code."""

    file: str
    line: int


class ModuleFacts(TypedDict):
    """One module of a watched model."""

    type: str  # class name
    site: Site | None  # where it was constructed
    children: int
    activation: str | None  # of the function that follows it: "relu", "sigmoid", ... ; None = unknown or none


class ParameterFacts(TypedDict):
    """One parameter."""

    shape: list[int]
    shards: int  # ranks over which it is divided (DTensor); 1 = each has the whole
    module: str  # name of the module that owns it
    trainable: bool  # requires_grad: while gradients came, else at the last step that was read
    dtype: str
    optimizer: int | None  # index into `optimizers`; None = no optimiser owns it
    initial_std: float | None
    initial_mean: float | None
    equal_units: bool | None  # at the start all rows were equal and there is more than one
    got_gradient: bool  # a gradient was seen at any sampled step


class OptimizerFacts(TypedDict):
    """One optimiser."""

    type: str
    site: Site | None
    groups: list[dict[str, float | int | bool | str | None]]  # lr, weight_decay, ...; `parameters` = count
    zero_grad_calls: int
    clip: list[dict[str, object]]  # {"kind": "norm"|"value", "limit": float, "site": Site, "calls": int}
    scheduler: str | None


class LossFacts(TypedDict):
    """What the loss is, from the calls of `torch.nn.functional` losses with gradient."""

    kind: str  # "cross_entropy", "mse_loss", ... ; "custom" where no known function was seen
    site: Site | None  # the user's line that called it
    reduction: str | None
    input_shape: list[int] | None
    target_shape: list[int] | None
    input_dtype: str | None
    target_dtype: str | None
    input_range: list[float] | None  # [lowest, highest] seen at sampled steps
    target_range: list[float] | None
    classes: int | None  # columns of the logits
    sums_to_one: bool | None  # rows of the input are >= 0 and sum to 1: probabilities, not logits
    input_from: str | None  # the function that made the input: "softmax", "sigmoid", "linear", ...
    input_site: Site | None  # where the module that made it was constructed
    target_integers: bool | None  # every target value seen is a whole number
    target_counts: list[int] | None  # label histogram (up to 1000 classes) of the sampled batches
    extra: dict[str, object]  # "calls", share of "ignored" labels, "weighted", "label_smoothing"


class TensorFacts(TypedDict):
    """Statistics of a batch of inputs or targets, over the sampled steps."""

    shape: list[int]
    dtype: str
    mean: float
    std: float
    low: float
    high: float
    feature_mean: list[float] | None  # per feature (last dimension; channel of a picture), at most 1000
    feature_std: list[float] | None


class NonFinite(TypedDict):
    """The first NaN or infinity."""

    step: int
    phase: str  # "forward", "backward" (a gradient), "weights" (left by an update)
    place: str | None  # module or parameter
    op: str | None  # "log", "sqrt", "div", "exp", ... as the autograd graph names it
    why: str | None  # "its input holds 0", "its input holds -0.2"
    site: Site | None
    handled: bool  # GradScaler skipped the step: not a fault


class CurveFacts(TypedDict):
    """Where the curves of a run come from that was not watched but read from another tool's log."""

    file: str
    format: str
    unit: str  # what a step is: "step", "epoch" or "row" of the log
    taken: dict[str, list[str]]  # series -> columns of the log
    notes: list[str]  # what was guessed or left out, in sentences


class RefusedLabels(TypedDict):
    """Labels at which a loss function raised."""

    kind: str  # of the loss
    site: Site | None
    step: int
    low: int
    high: int
    classes: int  # columns of the logits
    ignored: int  # the label that would have been left out


class Facts(TypedDict, total=False):
    """What does not change while a run goes on. A missing key, or `None`, is "unknown"."""

    script: str
    argv: list[str]
    command: str
    started: str  # ISO 8601, UTC
    finished: str | None
    exit_status: int | None
    exception: str | None  # type and message of what ended the script
    stopped_by: str | None  # "check", "interrupt"
    versions: dict[str, str]
    device: str
    rank: int
    world_size: int
    sharded: bool  # parameters are shards of a larger tensor (FSDP2)
    compiled: bool
    amp: str | None  # dtype of autocast
    scaler: bool
    steps: int  # optimiser steps seen
    backwards_per_step: float
    epochs: int  # passes of the training data loader begun
    steps_per_epoch: float | None
    batch_size: int | None
    dataset_size: int | None
    shuffled: bool | None
    restarts: list[int]  # steps at which the script began to train another model (folds, a search)
    roots: list[str]  # class names of the watched models
    modules: dict[str, ModuleFacts]
    parameters: dict[str, ParameterFacts]
    optimizers: list[OptimizerFacts]
    losses: list[LossFacts]
    inputs: TensorFacts | None
    targets: TensorFacts | None
    loaded: list[dict[str, object]]  # load_state_dict: {"module", "site", "matched", "missing", "unexpected"}
    non_finite: NonFinite | None
    refused_labels: RefusedLabels | None
    skipped_steps: int  # by GradScaler
    eval_during_training: list[str]  # modules in eval mode while gradients were made
    eval_steps: int  # sampled steps at which the root was in eval mode
    eval_from: int | None  # step since which it was so at each sampled one; None = not at the last
    replica_hash: dict[str, str]  # of one rank only: check sums of the weights by step, for `replicas`
    replicas: dict[str, object] | None  # {"ranks": n, "equal": bool, "step": k}
    overhead: dict[str, float | int | str | None]  # budget, own_s, startup_s, run_s, share, sampled
    own_failures: list[dict[str, str]]  # {"where", "error"}: ours, reported once
    curves: CurveFacts  # the run was not watched: these are its only source
    given_up: list[str]  # what was not watched, and why, in sentences
    sources: dict[str, dict[str, str]]  # file -> line number -> text, around the sites


@dataclass(frozen=True)
class Run:
    """Everything recorded about one training: pure data, judged as often as you like.

    A value of NaN in a series means "no reading"; a reading that was itself not finite is stored as infinity.
    """

    series: Mapping[str, Series]
    facts: Facts = field(default_factory=Facts)

    def __getitem__(self, what: Signal) -> Series:
        return self.series[what.name]

    def __contains__(self, what: Signal) -> bool:
        return what.name in self.series

    @property
    def steps(self) -> int:
        """Optimiser steps seen."""
        return self.facts.get("steps", 0)

    def where(self, place: str) -> Where:
        """The module, the parameter and the user's line of a place in a series."""
        parameter = self.facts.get("parameters", {}).get(place)
        module = parameter["module"] if parameter else place
        site = None
        name: str | None = module
        while name is not None:  # built inside a library: the nearest parent with a line of the user's
            known = self.facts.get("modules", {}).get(name)
            site = site or (known["site"] if known else None)
            name = None if site or not name else name.rpartition(".")[0]
        return Where(
            module or None,
            place if parameter else None,
            site["file"] if site else None,
            site["line"] if site else None,
        )


def at(site: Site | None, module: str | None = None, parameter: str | None = None) -> Where:
    """A line of the user's code as the place of a finding."""
    return Where(module, parameter, *((site["file"], site["line"]) if site else (None, None)))


class Evidence(NamedTuple):
    """One number that was measured, beside the limit it was held against."""

    what: str
    measured: float
    limit: float
    unit: str


@dataclass(frozen=True)
class Finding:
    """Something is wrong: what, where, when, the numbers that say so, and what to do."""

    message: str
    evidence: tuple[Evidence, ...]
    where: tuple[Where, ...] = ()
    steps: tuple[int, int] = (0, 0)
    """First and last step at which it was seen."""
    fix: str = ""
    """What to do, in one sentence with the user's own names."""
    severity: Severity | None = None
    """`None` = as the rule declares; a check may say less, never more."""
    rule: str = ""
    """Signed by the rule that found it."""


class Limit(NamedTuple):
    """Metadata of a threshold: its unit and where its default comes from."""

    unit: str
    source: str


class Case(NamedTuple):
    """A pair of plain PyTorch trainings: one has the fault, its twin differs only in not having it."""

    sick: Callable[[], None]
    healthy: Callable[[], None]


@dataclass(frozen=True)
class Rule:
    """A named reader of runs. Call it to get findings; thresholds are keyword arguments."""

    name: str
    summary: str
    page: str
    severity: Severity
    needs: tuple[Signal, ...]
    limits: Mapping[str, tuple[float, Limit]]
    case: Case
    check: Callable[..., Iterator[Finding]]

    def __call__(self, run: Run, **thresholds: float) -> tuple[Finding, ...]:
        return tuple(self._signed(f) for f in self.check(run, **thresholds))

    def _signed(self, finding: Finding) -> Finding:
        severity = self.severity if finding.severity is None else finding.severity
        if severity > self.severity:
            raise ValueError(f"Rule `{self.name}` declares {self.severity.name} and found {severity.name}.")
        return replace(finding, rule=self.name, severity=severity)

    def __str__(self) -> str:
        return self.name


def rule(
    *, severity: Severity, needs: tuple[Signal, ...] = (), case: Case
) -> Callable[[Callable[..., Iterator[Finding]]], Rule]:
    """Declare the decorated check as a rule. Name, page and thresholds are read off the function."""

    def declare(check: Callable[..., Iterator[Finding]]) -> Rule:
        summary, page = _doc(check)
        name = check.__name__.replace("_", "-")
        return Rule(name, summary, page, severity, needs, _limits(check), case, check)

    return declare


class Risk(enum.Enum):
    """What a remedy may cost a run that needs none."""

    SAFE = "cannot make a healthy run worse"
    COSTLY = "may slow a step down or use more memory"
    CHANGES = "changes what the run converges to"


@dataclass(frozen=True)
class Remedy:
    """A named change to a live training that answers the findings of some rules."""

    name: str
    summary: str
    page: str
    cures: tuple[Rule, ...]
    at: Moment
    risk: Risk
    apply: Callable[[Training], None]

    def __str__(self) -> str:
        return self.name


def remedy(
    *, cures: tuple[Rule, ...], at: Moment, risk: Risk
) -> Callable[[Callable[[Training], None]], Remedy]:
    """Declare the decorated function as a remedy; it runs whenever `at` comes round."""

    def declare(apply: Callable[[Training], None]) -> Remedy:
        summary, page = _doc(apply)
        return Remedy(apply.__name__.replace("_", "-"), summary, page, cures, at, risk, apply)

    return declare


@dataclass(frozen=True)
class Trial:
    """A paired experiment: the same seeds with and without the remedy. Lower outcomes are better."""

    remedy: str
    outcome: str
    seeds: tuple[int, ...]
    without: tuple[float, ...]
    with_: tuple[float, ...]

    @property
    def wins(self) -> int:
        """Seeds at which the remedy did better."""
        return sum(b < a for a, b in zip(self.without, self.with_, strict=True))

    @property
    def p(self) -> float:
        """One-sided sign test: the chance of at least this many wins if the remedy did nothing."""
        n = len(self.seeds)
        return sum(comb(n, k) for k in range(self.wins, n + 1)) / float(2**n)


def _doc(function: Callable[..., object]) -> tuple[str, str]:
    text = inspect.getdoc(function)
    if not text:
        raise TypeError(f"{function.__module__}.{function.__name__} needs a docstring: it is its page.")
    summary, _, page = text.partition("\n\n")
    return " ".join(summary.split()), page.strip()


def _limits(check: Callable[..., object]) -> dict[str, tuple[float, Limit]]:
    """Read thresholds off keyword-only parameters written `name: Annotated[float, Limit(...)] = default`."""
    hints = get_type_hints(check, include_extras=True)
    found: dict[str, tuple[float, Limit]] = {}
    for p in inspect.signature(check).parameters.values():
        if p.kind is not p.KEYWORD_ONLY:
            continue
        limits = [a for a in get_args(hints[p.name]) if isinstance(a, Limit)]
        if get_origin(hints[p.name]) is not Annotated or not limits:
            raise TypeError(
                f"Threshold `{p.name}` of rule `{check.__name__}` has no source. "
                f"Write it as `{p.name}: Annotated[float, Limit(unit=..., source=...)] = {p.default!r}`."
            )
        found[p.name] = (p.default, limits[0])
    return found
