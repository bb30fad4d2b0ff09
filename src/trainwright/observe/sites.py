"""Where in the user's code something happens: the innermost frame that the user owns. No torch."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType

from ..core import Site

_PATHS = sysconfig.get_paths()
_STDLIB = tuple(os.path.realpath(_PATHS[k]) + os.sep for k in ("stdlib", "platstdlib"))
_PACKAGES = tuple(os.sep + name + os.sep for name in ("site-packages", "dist-packages"))
_OURS = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep
_OURS_TO_WATCH = os.path.join(_OURS, "rules") + os.sep  # the rules' own cases are trainings like any other

_owners: dict[str, str] = {}


def owner(filename: str) -> str:
    """Who owns a file: `user`, `library`, `torch`, `python` or `trainwright`."""
    known = _owners.get(filename)
    if known is None:
        known = _owners[filename] = _owner(filename)
    return known


def _owner(filename: str) -> str:
    if filename.startswith("<") and not filename.startswith("<ipython"):
        return "user" if filename in ("<stdin>", "<string>") else "python"
    path = os.path.realpath(filename)
    if path.startswith(_OURS):
        return "user" if path.startswith(_OURS_TO_WATCH) else "trainwright"
    for folder in _PACKAGES:
        if folder in path:
            return "torch" if (folder + "torch" + os.sep) in path else "library"
    return "python" if path.startswith(_STDLIB) else "user"


def site(*, building: object = None, depth: int = 1) -> Site | None:
    """The innermost line that the user owns, else the innermost one of a library.

    Args:
        building: frames whose `self` is this object are passed over: its own constructors.
        depth: frames of ours to skip at least.
    """
    frame: FrameType | None = sys._getframe(depth)
    library: FrameType | None = None
    while frame is not None:
        whose = owner(frame.f_code.co_filename)
        if whose in ("user", "library") and (building is None or not _constructs(frame, building)):
            if whose == "user":
                return _site(frame)
            library = library or frame
        frame = frame.f_back
    return _site(library) if library is not None else None


def user_frame(depth: int = 1) -> FrameType | None:
    """The innermost frame that the user owns."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and owner(frame.f_code.co_filename) != "user":
        frame = frame.f_back
    return frame


def line_of_call(depth: int = 1) -> tuple[str, int]:
    """File and line of the innermost frame outside of torch and of ours: cheap enough for every step."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        if owner(frame.f_code.co_filename) in ("user", "library"):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "", 0


def _constructs(frame: FrameType, building: object) -> bool:
    code = frame.f_code
    # Reading the one argument is enough, and does not copy the frame's variables as `f_locals` of all would.
    return (
        code.co_argcount > 0
        and code.co_name == "__init__"
        and frame.f_locals.get(code.co_varnames[0]) is building
    )


def _site(frame: FrameType) -> Site:
    return {"file": frame.f_code.co_filename, "line": frame.f_lineno}
