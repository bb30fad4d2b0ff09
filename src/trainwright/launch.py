"""From a command line to a report: watch a script, judge what was seen, say it, end as the script ended."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .progress import status_line
from .settings import Settings, UsageError, settings

if TYPE_CHECKING:
    from .core import Finding, Rule, Run
    from .observe.script import End

FINDINGS, USAGE, UNTRAINED, UNWRITTEN = 1, 2, 3, 4
"""Exit statuses of our own: `--fail-on` is met, wrong use, the script never trained, no room to write."""

RANKS_S = 10.0
"""How long rank 0 waits for the records of the others."""

ENDINGS = {".html": "html", ".json": "json", ".sarif": "sarif"}


def launch(options: Namespace, args: Sequence[str]) -> int:
    """Do `run` or `check`; returns the exit status, or raises KeyboardInterrupt where that ended a script."""
    from .observe import children, script, watching

    refused = script.refusal(options.script, options.module)
    if refused:
        return _refuse(refused)
    try:
        said = settings(options)
        if said.select is not None or said.ignore or said.limits:
            said.judges()  # a wrong name is said before the script starts
        rank, ranks = _whole("RANK", 0), _whole("LOCAL_WORLD_SIZE", 1)
        folder = _folder(options, rank)
    except UsageError as error:
        return _refuse(str(error))
    stop_after: int | None = getattr(options, "steps", None)
    line = status_line() if rank == 0 else None
    try:
        session = watching.start(
            folder,
            overhead=said.overhead,
            stop_after=stop_after,
            eager_probe=options.eager_probe,
            progress=line.show if line else None,
        )
    except (
        Exception
    ) as error:  # OSError, sqlite3.Error: nothing was run yet, so this is no surprise to anybody
        return _refuse(f"cannot record in `{folder}`: {error}. Another place: --folder DIR.")

    parent = os.getpid()
    how = children.How(
        folder=str(folder), overhead=said.overhead, stop_after=stop_after, eager_probe=options.eager_probe
    )
    with children.watched(how):
        if options.module is not None:
            end = script.run_module(options.module, args)
        else:
            end = script.run_script(options.script, args)
        if os.getpid() == parent:
            script.wait_for_threads()
    if os.getpid() != parent:  # a child that the script forked came out at the script's end
        return _leave(end)
    if line:
        line.close()
    try:
        run = session.finish(end.status, end.exception)
        script.run_exit_handlers()
        script.leave()
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()  # so that ours comes last where both go to one place
        status = _report(options, said, _merged(run, folder, ranks), folder) if rank == 0 else 0
    except KeyboardInterrupt as interrupt:
        _say(f"interrupted before the report; for it: trainwright diagnose {folder}")
        return _leave(end._replace(status=130, exception=interrupt))
    except Exception as error:  # whatever it is, the script's own end must come through
        _say(
            f"cannot report, which is our fault ({type(error).__name__}: {error}); the record is in {folder}"
        )
        status = 0
    return _leave(end) or status


def judge_again(options: Namespace) -> int:
    """Do `diagnose`; returns the exit status."""
    from .adapters import UnreadableLog, read
    from .observe.store import UnreadableRun, load
    from .rules import diagnose, unwatched

    given: dict[str, list[str]] = {}
    for series, column in [pair for pairs in options.map or () for pair in pairs]:
        given.setdefault(series, []).extend([column] if column else [])
    try:
        said = settings(options)
        rules = said.judges()
        log = read(options.run, given)
        if log is None and given:
            raise UsageError(
                f"`{options.run}` is no log of another tool: `--map` has no columns to name there."
            )
        run = log or load(options.run)
        if log and rules and not unwatched.able(rules, log):
            raise UsageError(
                f"curves alone do not tell {', '.join(r.name for r in rules)}: watch a training for it."
            )
        rules = unwatched.able(rules, run)
    except (UsageError, UnreadableRun, UnreadableLog) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot read `{options.run}`: {error.strerror or error}.")
    findings = diagnose(run, rules, said.limits)
    folder = options.run if options.run.is_dir() else None
    if not _write(options, run, findings, rules, sys.stdout, folder):
        return USAGE
    return FINDINGS if said.fails(f.severity for f in findings) else 0


def _refuse(sentence: str) -> int:
    _say(sentence)
    return USAGE


def _say(sentence: str) -> None:
    """Say something of ours on the process's own stderr, wherever the script has sent `sys.stderr`."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or there is none
        print(f"trainwright: {sentence}", file=sys.__stderr__, flush=True)


def _folder(options: Namespace, rank: int) -> Path:
    """A folder for the record, made before the script starts so that a run is not lost at its end."""
    from .observe.folder import new_folder

    folder: Path | None = options.folder
    if folder is None:
        try:
            return new_folder(options.module or options.script).absolute()  # the script may change directory
        except OSError as error:
            raise UsageError(str(error)) from None
    restarts = _whole("TORCHELASTIC_RESTART_COUNT", 0)
    folder = folder / f"restart{restarts}" if restarts else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the run folder `{folder}`: {error.strerror or error}.") from None
    if (folder / f"rank{rank}.sqlite").exists():
        raise UsageError(f"`{folder}` holds the record of another run. Remove it, or name another folder.")
    return folder.absolute()


def _merged(run: Run, folder: Path, ranks: int) -> Run:
    """What was seen here and what other ranks and children have written, once they are done or time is up."""
    until = time.monotonic() + RANKS_S
    while ranks > 1 and time.monotonic() < until:
        # A record that was closed has no write-ahead log any more.
        done = [p for p in folder.glob("rank*.sqlite") if not Path(f"{p}-wal").exists()]
        if len(done) >= ranks:
            break
        time.sleep(0.05)
    if len(list(folder.glob("*.sqlite"))) < 2:
        return run
    from .observe.store import UnreadableRun, load

    try:
        return load(folder)
    except (UnreadableRun, OSError) as error:
        _say(f"the report is on this process alone: {error}")
        return run


def _report(options: Namespace, said: Settings, run: Run, folder: Path) -> int:
    """Judge and say; returns the exit status that the findings ask for."""
    from . import report
    from .observe.watching import RECORDING
    from .rules import diagnose
    from .rules.verdict import verdict
    from .signals import loss

    rules = said.judges()
    findings = diagnose(run, rules, said.limits)
    trained = run.steps > 0 or (loss in run and len(run[loss].steps) > 0)
    if not trained and not findings:
        _say(verdict(run, findings).sentence)
        return UNTRAINED
    written = not any(f["where"] in RECORDING for f in run.facts.get("own_failures", []))
    page = folder / "report.html"
    try:
        page.write_text(report.html(run, findings, rules), encoding="utf-8")
        (folder / "findings.json").write_text(_json(report.as_json(run, findings, rules)), encoding="utf-8")
    except OSError as error:
        _say(f"cannot write the report into `{folder}`: {error.strerror or error}.")
        written = False
        with suppress(OSError):
            page.unlink(missing_ok=True)  # a part of a page is no page
    if options.format == "html" and not options.output:
        _say(f"the report: {page}")
    else:
        written &= _write(options, run, findings, rules, sys.__stderr__ or StringIO(), folder)
    if said.fails(f.severity for f in findings):
        return FINDINGS
    return 0 if written else UNWRITTEN


def _write(
    options: Namespace,
    run: Run,
    findings: Sequence[Finding],
    rules: Sequence[Rule],
    stream: TextIO,
    folder: Path | None,
) -> bool:
    """Write the report as asked for, to `stream` or to `--output`; whether that went well."""
    from . import report

    output: Path | None = options.output
    form = options.format or (ENDINGS.get(output.suffix, "text") if output else "text")
    made = {
        "json": lambda: _json(report.as_json(run, findings, rules)),
        "sarif": lambda: _json(report.sarif(run, findings, rules)),
        "github": lambda: report.github(run, findings),
        "html": lambda: report.html(run, findings, rules),
    }
    page = folder / "report.html" if folder and (folder / "report.html").exists() else None
    try:
        with output.open("w", encoding="utf-8") if output else nullcontext(stream) as to:
            if form == "text":
                report.text(run, findings, to, rules, folder=folder, report=page)
            else:
                to.write(made[form]().rstrip("\n") + "\n")
            to.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _say(f"cannot write the report to `{output or stream.name}`: {error.strerror or error}.")
        return False
    if output:
        count = len(findings)
        _say(f"{count} finding{'' if count == 1 else 's'}; the report: {output}")
    return True


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _leave(end: End) -> int:
    """The script's own exit status; Ctrl-C is passed on, so that the process dies by it as python does."""
    if end.interrupted and end.exception is not None:
        sys.excepthook = lambda *_: None  # it has been shown
        raise end.exception
    return end.status


def _whole(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default
