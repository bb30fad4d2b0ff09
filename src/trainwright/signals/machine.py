"""Signals of time and memory."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal
from .noted import noted


@signal(at=Moment.STEP, unit="s")
def step_time(training: Training) -> Reading | None:
    """Time from one optimiser step to the next, median of the last ones, without what watching took."""
    return noted(training, "step_time")


@signal(at=Moment.STEP, unit="bytes")
def memory(training: Training) -> Reading | None:
    """Memory in use: allocated on the device for CUDA, resident set of the process otherwise."""
    device = next((p.device for p in training.parameters.values()), None)
    if device is not None and device.type == "cuda":
        import torch

        return ("",), [float(torch.cuda.memory_allocated(device))]
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[1])
    except OSError:  # no /proc: macOS, Windows
        return None
    import resource

    return ("",), [float(pages * resource.getpagesize())]
