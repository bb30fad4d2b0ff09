"""What can be measured. A signal reads the live training and changes nothing. No torch at import."""

from ..core import Signal
from .activation import activation_grad, activation_mean, activation_std, dead_units, saturated_units
from .gradient import grad_norm, leftover_grad
from .loss import accuracy, constant_loss, loss, valid_accuracy, valid_loss
from .machine import memory, step_time
from .prediction import majority_share, prediction_scale, prediction_spread
from .schedule import epoch, learning_rate
from .weight import update_ratio, weight_norm

ALL: tuple[Signal, ...] = (
    loss,
    valid_loss,
    constant_loss,
    accuracy,
    valid_accuracy,
    learning_rate,
    epoch,
    grad_norm,
    leftover_grad,
    weight_norm,
    update_ratio,
    activation_mean,
    activation_std,
    activation_grad,
    dead_units,
    saturated_units,
    prediction_spread,
    prediction_scale,
    majority_share,
    step_time,
    memory,
)

__all__ = [
    "ALL",
    "accuracy",
    "activation_grad",
    "activation_mean",
    "activation_std",
    "constant_loss",
    "dead_units",
    "epoch",
    "grad_norm",
    "learning_rate",
    "leftover_grad",
    "loss",
    "majority_share",
    "memory",
    "prediction_scale",
    "prediction_spread",
    "saturated_units",
    "step_time",
    "update_ratio",
    "valid_accuracy",
    "valid_loss",
    "weight_norm",
]
