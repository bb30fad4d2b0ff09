"""What can be wrong. One file a rule; a rule reads a `Run` and never sees a tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from ..core import Evidence, Finding, Rule, Run, Severity
from .bad_initial_loss import bad_initial_loss
from .bad_initial_scale import bad_initial_scale
from .broadcast_target import broadcast_target
from .constant_output import constant_output
from .dead_units import dead_units
from .double_softmax import double_softmax
from .eval_mode_in_training import eval_mode_in_training
from .exploding_gradient import exploding_gradient
from .frozen_parameters import frozen_parameters
from .label_out_of_range import label_out_of_range
from .learning_rate_too_high import learning_rate_too_high
from .learning_rate_too_low import learning_rate_too_low
from .loss_mismatch import loss_mismatch
from .loss_spike import loss_spike
from .missing_zero_grad import missing_zero_grad
from .non_finite import non_finite
from .output_activation_mismatch import output_activation_mismatch
from .overfitting import overfitting
from .parameters_outside_optimizer import parameters_outside_optimizer
from .plateau import plateau
from .saturated_units import saturated_units
from .stopped_too_early import stopped_too_early
from .symmetric_weights import symmetric_weights
from .trainings import last_training
from .underfitting import underfitting
from .unscaled_input import unscaled_input
from .unused_parameters import unused_parameters
from .vanishing_gradient import vanishing_gradient

ALL: tuple[Rule, ...] = (
    # What is certain from shapes and calls comes first, then the start, then what training shows.
    label_out_of_range,
    broadcast_target,
    double_softmax,
    loss_mismatch,
    output_activation_mismatch,
    parameters_outside_optimizer,
    frozen_parameters,
    unused_parameters,
    eval_mode_in_training,
    missing_zero_grad,
    symmetric_weights,
    non_finite,
    bad_initial_scale,
    bad_initial_loss,
    unscaled_input,
    vanishing_gradient,
    exploding_gradient,
    dead_units,
    saturated_units,
    learning_rate_too_high,
    learning_rate_too_low,
    loss_spike,
    constant_output,
    overfitting,
    plateau,
    underfitting,
    stopped_too_early,
)
"""Every rule; of equal findings the one whose rule stands first is the likelier cause."""

OWN = "trainwright"
"""Signs the findings about ourselves: a rule that failed. No rule has this name."""


SYMPTOMS = frozenset({plateau.name, underfitting.name})
"""Rules that see that nothing is learned, not why."""


def diagnose(
    run: Run,
    rules: Sequence[Rule] = ALL,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[Finding, ...]:
    """What the rules find in a run: worst first, then the earlier, then the likelier cause.

    Of a script that trains one model after the other the last training is judged. That the loss does not fall is an
    alarm where no other finding says why; beside one it is a hint.

    A rule is left out where a signal that it needs was not recorded. One that fails is our fault, not the
    run's: it becomes a hint signed `trainwright`, and the others are still asked.

    Args:
        run: what was recorded.
        rules: which rules to ask.
        thresholds: other limits than the default ones, by rule and limit: `{"dead-units": {"share": 0.8}}`.

    Raises:
        ValueError: `thresholds` names a rule or a limit that does not exist.
    """
    given = dict(thresholds or {})
    for name, limits in given.items():
        _check(name, limits)
    run, first = last_training(run)
    found = [f for rule in rules for f in _ask(rule, run, given.get(rule.name, {}))]
    found = [replace(f, steps=(f.steps[0] + first, f.steps[1] + first)) for f in found] if first else found
    return tuple(sorted(_causes_first(found), key=lambda f: (-(f.severity or 0), f.steps[0])))


def _causes_first(found: Sequence[Finding]) -> list[Finding]:
    """A loss that does not fall is an alarm of its own only where nothing else is: else it is what that leads to."""
    causes = [f for f in found if (f.severity or 0) >= Severity.HARM and f.rule not in SYMPTOMS]
    if not causes:
        return list(found)
    return [replace(f, severity=Severity.HINT) if f.rule in SYMPTOMS else f for f in found]


def _ask(rule: Rule, run: Run, limits: Mapping[str, float]) -> tuple[Finding, ...]:
    if not all(signal in run for signal in rule.needs):
        return ()
    try:
        return rule(run, **limits)
    except Exception as error:  # whatever it is, the user's report must come out, with this in it
        return (
            Finding(
                f"Rule `{rule.name}` failed and was left out, which is a fault of trainwright: "
                f"{type(error).__name__}: {error}",
                evidence=(Evidence("rules that failed", 1.0, 0.0, "rules"),),
                fix="Please report it, with the run folder if you can; the other rules are not affected.",
                severity=Severity.HINT,
                rule=OWN,
            ),
        )


def _check(name: str, limits: Mapping[str, float]) -> None:
    known = {rule.name: rule for rule in ALL}
    if name not in known:
        raise ValueError(f"There is no rule `{name}`{_meant(name, known)}. `trainwright rules` lists all.")
    for limit in limits:
        if limit not in known[name].limits:
            raise ValueError(
                f"Rule `{name}` has no limit `{limit}`{_meant(limit, known[name].limits)}; "
                f"it has {', '.join(known[name].limits) or 'none'}."
            )


def _meant(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, 1)
    return f": did you mean `{close[0]}`?" if close else ""
