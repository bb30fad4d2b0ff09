"""Watch any PyTorch training, see what is wrong with it, and repair it with proof.

A name is fetched from its module when it is first used: importing this costs nothing and imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (
        activation,
        average,
        clip,
        curvature,
        descent,
        groups,
        init,
        lr_range,
        norm,
        regularize,
        report,
        rules,
        schedule,
        signals,
        stopping,
    )
    from .core import (
        Evidence,
        Finding,
        Moment,
        Remedy,
        Risk,
        Rule,
        Run,
        Series,
        Severity,
        Signal,
        Training,
        Trial,
        Where,
    )
    from .observe.store import UnreadableRun, load
    from .rules import diagnose
    from .rules.verdict import Verdict, verdict
    from .watched import Watch, watch

__version__ = "0.1.0"

__all__ = [
    "Evidence",
    "Finding",
    "Moment",
    "Remedy",
    "Risk",
    "Rule",
    "Run",
    "Series",
    "Severity",
    "Signal",
    "Training",
    "Trial",
    "UnreadableRun",
    "Verdict",
    "Watch",
    "Where",
    "activation",
    "average",
    "clip",
    "curvature",
    "descent",
    "diagnose",
    "groups",
    "init",
    "load",
    "lr_range",
    "norm",
    "regularize",
    "report",
    "rules",
    "schedule",
    "signals",
    "stopping",
    "verdict",
    "watch",
]

if not TYPE_CHECKING:  # a checker reads the imports above, and so still sees a misspelt name
    _TOOLKIT = (
        "activation average clip curvature descent groups init lr_range norm regularize schedule stopping"
    ).split()
    _MODULES = {*_TOOLKIT, "report", "rules", "signals"}
    _HOMES = {  # of what does not live in core
        "Watch": "watched",
        "watch": "watched",
        "UnreadableRun": "observe.store",
        "load": "observe.store",
        "diagnose": "rules",
        "Verdict": "rules.verdict",
        "verdict": "rules.verdict",
    }

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'trainwright' has no attribute '{name}'")
        if name in _MODULES:
            return import_module(f".{name}", __name__)
        return getattr(import_module(f".{_HOMES.get(name, 'core')}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
