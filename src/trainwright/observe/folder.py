"""The folder of a run: `runs/<UTC time>-<script>`, and `runs/last`, which points to the newest."""

from __future__ import annotations

import itertools
import os
import re
import time
from pathlib import Path

LAST = "last"


def new_folder(script: str, root: Path = Path("runs")) -> Path:
    """A new, empty folder under `root`, to which `root/last` points from now on.

    All ranks that one torchrun started get the same one: it is named after the start, the process number and
    the port of their launcher.

    Args:
        script: path of the script, or dotted name of the module.

    Raises:
        OSError: it cannot be made there; the message says why and what to do.
    """
    name = script.rpartition("/")[2].removesuffix(".py")
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "run"
    launch = _launch()
    try:
        root.mkdir(parents=True, exist_ok=True)
        if launch is None:
            folder = _unused(root / f"{_utc(time.time())}-{name}")
        else:
            folder = root / f"{launch[0]}-{name}-{launch[1]}"
            folder.mkdir(exist_ok=True)
        _point(root / LAST, folder.name)
    except OSError as error:
        raise OSError(
            f"Cannot make a run folder in `{root}` ({error.strerror}). Choose another place with --folder."
        ) from error
    return folder


def follow(path: Path) -> Path:
    """The folder that `path` means, where links are not possible and `last` is a text file that names it."""
    if path.name == LAST and path.is_file() and path.stat().st_size < 1000:
        return path.parent / path.read_text(encoding="utf-8", errors="replace").strip()
    return path


def _unused(wanted: Path) -> Path:
    for n in itertools.count(1):
        folder = wanted if n == 1 else wanted.with_name(f"{wanted.name}-{n}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")


def _point(link: Path, name: str) -> None:
    """Let `link` point to its neighbour `name`; a reader sees the old one or the new one, never none."""
    if link.is_dir() and not link.is_symlink():
        return  # the user's own folder of that name
    fresh = link.with_name(f".{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        try:
            fresh.symlink_to(name, target_is_directory=True)
        except (OSError, NotImplementedError):  # some file systems, and Windows without the right to
            fresh.write_text(f"{name}\n", encoding="utf-8")
        os.replace(fresh, link)
    finally:
        fresh.unlink(missing_ok=True)


def _launch() -> tuple[str, str] | None:
    """Start and identity of the torchrun that started this rank."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or "RANK" not in os.environ:
        return None
    launcher = os.getppid()
    identity = [str(launcher), os.environ.get("MASTER_PORT", "0")]
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if again != "0":
        identity.append(f"restart{again}")
    return _started(launcher), "-".join(identity)


def _started(pid: int) -> str:
    """When a process started: the same for all that ask, unlike the time at which they ask."""
    try:
        # Behind the name, which may hold spaces, the 20th field is the start in ticks since boot.
        ticks = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        boot = next(
            w for w in Path("/proc/stat").read_text(encoding="utf-8").splitlines() if w.startswith("btime")
        )
    except OSError:
        return "torchrun"  # not Linux: the process number and the port must do
    return _utc(int(boot.split()[1]) + ticks // os.sysconf("SC_CLK_TCK"))


def _utc(seconds: float) -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))
