"""clipping-misplaced: gradients are clipped where it has no effect, or while a GradScaler's factor is on them."""

from __future__ import annotations

from collections.abc import Iterator

from ..events import Event
from ..view import Found, View

RULE = "clipping-misplaced"


def check(view: View) -> Iterator[Found]:
    """Of one backward, one step and a clipping in the same block the clipping has to come second."""
    for loop in view.program.loops:
        events = view.events.of_loop(loop)
        if not any(e.kind == "clip" for e in events):
            continue
        steps = [e for e in events if e.kind == "step"]
        backwards = [e for e in events if e.kind == "backward"]
        if len(steps) == 1 and len(backwards) == 1 and steps[0].loops == backwards[0].loops == ():
            yield from _order(view, events, backwards[0], steps[0])
        yield from _scaled(view, events, backwards, steps)


def _order(view: View, events: list[Event], backward: Event, step: Event) -> Iterator[Found]:
    clips = [e for e in events if e.kind == "clip"]
    at = {id(e): i for i, e in enumerate(events)}
    if backward.trail != step.trail or at[id(backward)] > at[id(step)]:
        return
    if any(c.trail != step.trail or at[id(backward)] < at[id(c)] < at[id(step)] for c in clips):
        return
    for clip in clips:
        late = at[id(clip)] > at[id(step)]
        yield view.found(
            RULE,
            clip.node,
            f"Gradients are clipped {'after' if late else 'before'} "
            + (f"`{step.name}` has stepped with them" if late else "`backward()` has made them")
            + ": no step uses a clipped gradient",
            ("clippings between backward and step", 0, 1, "calls"),
            f"Clip between `backward()` and the step of `{step.name}`.",
            also=(step.node,),
        )


def _scaled(view: View, events: list[Event], backwards: list[Event], steps: list[Event]) -> Iterator[Found]:
    if not (backwards and steps and all(e.scaled for e in (*backwards, *steps))):
        return
    for place, clip in enumerate(events):
        if clip.kind != "clip" or any(_unscales(e, steps) for e in events[:place]):
            continue
        step = next((e for e in events[place:] if e.kind == "step" and e.trail == clip.trail), None)
        if step is None or not any(e.kind == "backward" for e in events[:place]):
            continue
        yield view.found(
            RULE,
            clip.node,
            "Gradients are clipped while they are still multiplied by the loss scale: with a factor of 65536 "
            "nearly all of them are cut to the limit",
            ("calls of unscale_ before the clipping", 0, 1, "calls"),
            f"Call `scaler.unscale_({step.name})` before the clipping.",
            also=(step.node,),
        )


def _unscales(event: Event, steps: list[Event]) -> bool:
    """`unscale_`, or code that is not seen here and is handed the optimiser or the scaler."""
    handed = event.name in {s.name for s in steps} or "scaler" in event.name.lower()
    return event.kind == "unscale" or (event.kind == "stranger" and handed)
