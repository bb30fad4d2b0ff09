"""What is looked for in a source: one file a fault, each with a function `check` that yields what it found."""

from collections.abc import Callable, Iterator

from ..view import Found, View
from . import (
    clipping_misplaced,
    detached_graph,
    double_softmax,
    evaluation_mode,
    missing_zero_grad,
    output_activation_mismatch,
    parameters_outside_optimizer,
    retained_graph,
    schedule_mistimed,
    stale_best_weights,
    unshuffled_data,
)

Check = Callable[[View], Iterator[Found]]

CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    ((detached_graph.RULE,), detached_graph.check),
    ((missing_zero_grad.RULE,), missing_zero_grad.check),
    ((parameters_outside_optimizer.RULE,), parameters_outside_optimizer.check),
    ((double_softmax.RULE,), double_softmax.check),
    ((output_activation_mismatch.RULE,), output_activation_mismatch.check),
    ((clipping_misplaced.RULE,), clipping_misplaced.check),
    ((schedule_mistimed.RULE,), schedule_mistimed.check),
    ((evaluation_mode.EVALUATION, evaluation_mode.TRAINING), evaluation_mode.check),
    ((stale_best_weights.RULE,), stale_best_weights.check),
    ((retained_graph.RULE,), retained_graph.check),
    ((unshuffled_data.RULE,), unshuffled_data.check),
)
"""(names of the rules, the check); of equal findings the earlier is the likelier cause."""

NAMES: tuple[str, ...] = tuple(name for names, _ in CHECKS for name in names)
"""The rules whose faults can be seen in a source."""
