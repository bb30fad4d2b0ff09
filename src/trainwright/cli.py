"""The command line: parse, call, print. Nothing heavy is imported before it is known what is wanted."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

USAGE = 2
"""Exit status of a wrong use of trainwright."""

SERIES = ("loss", "valid_loss", "accuracy", "valid_accuracy", "learning_rate", "grad_norm", "epoch", "step")
"""What `--map` names columns for."""

SWITCHES = ("-h", "--help", "--eager-probe")
"""Options of `run` and `check` that take no value; all others take one."""

OF_SOURCE = ("--static", "--write-baseline")
"""Options of `check` alone that take no value."""

ABOUT = """\
Watches any PyTorch training, says what is wrong with it, where in your code, and what to do.
Your script stays as it is, and so do its output, its exit status and its final weights."""

FIRST_STEPS = """\
first steps:
  trainwright run train.py --epochs 3     watch a whole training; `--epochs 3` is the script's own
  trainwright check train.py              the same, but only the first 10 optimiser steps
  trainwright explain vanishing-gradient  why it hurts, what to do, when the rule is wrong
  trainwright diagnose runs/last          judge the newest run again; needs no torch

`trainwright COMMAND --help` says more. `python -m trainwright` is the same program."""

RUN = """\
examples:
  trainwright run train.py --epochs 3
  trainwright run --overhead 5% --folder runs/tanh train.py
  trainwright run -m package.module --epochs 3
  torchrun --nproc-per-node 2 -m trainwright run train.py    (one report, by rank 0)

Everything after SCRIPT or after -m MODULE belongs to the script. Its output is left alone: ours goes to
stderr, and into a folder of the run: `report.html`, `findings.json`, and the record, which
`trainwright diagnose` judges again. The newest run is `runs/last`.

exit status:
  the script's own, where that is not 0; otherwise
  0  the script ended well
  1  with --fail-on, there is a finding of that grade or a worse one
  2  wrong use of trainwright: nothing was run
  3  the script never trained: no loss ran backward and no optimiser stepped
  4  the record or the report could not be written, as on a full disk; the script was not touched by that"""

CHECK = """\
examples:
  trainwright check train.py
  trainwright check --steps 50 --fail-on harm --format github train.py --data small
  trainwright check --static src train.ipynb --baseline known.json

After the last of these steps the script is ended where it is, as if by `sys.exit(0)`.
For the rest, `check` does what `run` does: see `trainwright run --help`.

With --static nothing is run: files, notebooks and folders are read, and the faults that stand in the source
are reported on stdout, under the same names. `# trainwright: ignore[RULE]` on a line leaves it out; options may
stand anywhere. Exit status: 0; 1 with --fail-on; 2 where nothing could be read, or for a wrong use; 4 where the
report could not be written."""

DIAGNOSE = """\
examples:
  trainwright diagnose runs/last --ignore unscaled-input
  trainwright diagnose runs/last --set dead-units.share=0.9
  trainwright diagnose runs/last --format json --output findings.json
  trainwright diagnose lightning_logs/version_0
  trainwright diagnose log.csv --map loss=train/ce,valid_loss=val/ce

RUN is the folder of a run, or one .sqlite file in it; or the log of another tool, a file or its folder:
CSV (Lightning, Keras, any with a header), JSON lines, trainer_state.json, TensorBoard events, an offline
run of W&B. Of such curves only the rules are asked that need nothing else. The report goes to stdout.

exit status: 0; 1 with --fail-on; 2 for what cannot be read or a wrong use."""

EXPLAIN = """\
example:
  trainwright explain dead-units

`trainwright rules` lists all rules."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    own, args = split(sys.argv[1:] if argv is None else argv)
    understands = parser()
    if own and own[0].endswith(".py"):
        understands.error(f"to watch a script: trainwright run {own[0]}")
    options = understands.parse_args(own)
    if options.command == "check" and options.static:
        return _static(understands, options, own)
    if options.command in ("run", "check") and not (options.script or options.module):
        understands.error(
            f"which script? trainwright {options.command} SCRIPT, or {options.command} -m MODULE"
        )
    try:
        if options.command in ("run", "check"):
            if options.command == "check" and (options.baseline or options.write_baseline):
                understands.error("--baseline and --write-baseline need --static")
            return _run(options, args)
        if options.command == "diagnose":
            return _diagnose(options)
        return _explain(options.rule) if options.command == "explain" else _rules()
    except BrokenPipeError:  # as in `trainwright rules | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part our own words from the script's: those after `run`'s first word that is no option, or its `-m`.

    >>> split(["run", "--overhead", "5%", "train.py", "--help"])
    (['run', '--overhead', '5%', 'train.py'], ['--help'])
    >>> split(["check", "-m", "package.train", "-m", "x"])
    (['check', '-m', 'package.train'], ['-m', 'x'])
    """
    if not argv or argv[0] not in ("run", "check"):
        return list(argv), []
    at = 1
    while at < len(argv) and argv[at].startswith("-"):
        word = argv[at]
        if word == "--static" and argv[0] == "check":
            return _paths_last(argv), []
        last = word == "--" or (word.startswith("-m") and not word.startswith("--"))
        at += 1 if word in (*SWITCHES, *OF_SOURCE) or "=" in word or (last and word != "-m") else 2
        if last and word != "--":
            return list(argv[:at]), list(argv[at:])
        if last:
            break
    return list(argv[: at + 1]), list(argv[at + 1 :])


def _paths_last(argv: Sequence[str]) -> list[str]:
    """The options of `check --static` in front of its files, wherever they stood."""
    options, paths, waiting = [argv[0]], [], list(argv[1:])
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            paths += waiting
            break
        (options if word.startswith("-") else paths).append(word)
        if word.startswith("-") and word not in (*SWITCHES, *OF_SOURCE) and "=" not in word and waiting:
            options.append(waiting.pop(0))
    return [*options, "--", *paths]


def parser() -> argparse.ArgumentParser:
    """What is understood, with its help."""
    top = _Parser(prog="trainwright", description=ABOUT, epilog=FIRST_STEPS)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    usage = "trainwright {} [options] (-m MODULE | SCRIPT) [ARGS ...]"
    run = commands.add_parser(
        "run", usage=usage.format("run"), help="watch a training script", description=ABOUT, epilog=RUN
    )
    first = commands.add_parser(
        "check",
        usage=usage.format("check"),
        help="watch its first steps only",
        description="Judge a training by its first steps.",
        epilog=CHECK,
    )
    first.add_argument(
        "--steps",
        type=_count,
        default=10,
        metavar="N",
        help="optimiser steps to watch (default: 10)",
    )
    first.add_argument(
        "--static",
        action="store_true",
        help="read files and folders instead, SCRIPT and ARGS, and run nothing",
    )
    first.add_argument(
        "--baseline", type=Path, metavar="FILE", help="with --static: findings in FILE are known and left out"
    )
    first.add_argument(
        "--write-baseline", action="store_true", help="with --static: write what is found into that FILE"
    )
    for command in (run, first):
        command.add_argument(
            "--folder",
            type=Path,
            metavar="DIR",
            help="where to record the run (default: a new folder in runs/)",
        )
        command.add_argument(
            "--overhead",
            type=_share,
            metavar="SHARE",
            help="what watching may cost of the run's time (default: 2%%)",
        )
        command.add_argument(
            "--eager-probe",
            action="store_true",
            help="let single steps of a compiled model run eagerly, to see inside",
        )
        _add_judging(command, "stderr")
        what = command.add_mutually_exclusive_group()
        what.add_argument("-m", dest="module", metavar="MODULE", help="run a module, as `python -m` does")
        what.add_argument("script", nargs="?", metavar="SCRIPT", help="run a file, as `python` does")
        command.add_argument(
            "args", nargs="*", metavar="ARGS", help="the script's own arguments, all that follows"
        )

    again = commands.add_parser(
        "diagnose",
        help="judge a recorded run again, or another tool's log",
        description="Judge a recorded run again, with other rules or limits, or the curves in another tool's log.",
        epilog=DIAGNOSE,
    )
    again.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, as runs/last, or a log")
    again.add_argument(
        "--map",
        action="append",
        type=_columns,
        metavar="SERIES=COLUMN",
        help="which column of a log is the loss, valid_loss, accuracy, valid_accuracy, learning_rate, "
        "grad_norm, epoch or step; several parted by commas; may be given often; no COLUMN: none is",
    )
    _add_judging(again, "stdout")

    explain = commands.add_parser(
        "explain", help="the page of a rule", description="Print the page of a rule.", epilog=EXPLAIN
    )
    explain.add_argument("rule", metavar="RULE", help="name of a rule")
    commands.add_parser(
        "rules", help="list all rules", description="List all rules: grade, name, what they find."
    )
    return top


class _Parser(argparse.ArgumentParser):
    """Help that keeps its lines, and no abbreviated options: `split` does not know them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def _add_judging(command: argparse.ArgumentParser, stream: str) -> None:
    command.add_argument(
        "--select", type=_names, metavar="RULES", help="ask only these rules, parted by commas"
    )
    command.add_argument(
        "--ignore", type=_names, metavar="RULES", help="leave out these rules, parted by commas"
    )
    command.add_argument(
        "--set",
        action="append",
        type=_limit,
        metavar="RULE.LIMIT=VALUE",
        help="another limit; may be given often",
    )
    command.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github", "html"),
        help=f"of the report on {stream} or in FILE (default: text, or what the ending of FILE says)",
    )
    command.add_argument(
        "--output", type=Path, metavar="FILE", help=f"write the report there, not to {stream}"
    )
    command.add_argument(
        "--fail-on",
        choices=("hint", "harm", "fatal"),
        help="end with status 1 for findings of this grade or worse",
    )


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is not of the form RULE.LIMIT=NUMBER") from None


def _columns(text: str) -> list[tuple[str, str]]:
    """`loss=a,valid_loss=b`: a comma parts only where a name of a series follows, so columns may hold commas.

    >>> _columns("loss=train/ce,valid_loss=a, b = c,epoch=")
    [('loss', 'train/ce'), ('valid_loss', 'a, b = c'), ('epoch', '')]
    """
    series = "|".join(SERIES)
    parts = re.split(rf",(?=\s*(?:{series})\s*=)", text)
    told = [(name.strip(), column.strip()) for name, _, column in (part.partition("=") for part in parts)]
    for name, _ in told:
        if name not in SERIES or "=" not in text:
            raise argparse.ArgumentTypeError(f"`{name}` is none of {', '.join(SERIES)}: write SERIES=COLUMN")
    return told


def _share(text: str) -> float:
    from .settings import UsageError, share

    try:
        return share(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a whole number of at least 1")
    return int(text)


def _run(options: argparse.Namespace, args: list[str]) -> int:
    from .launch import launch

    return launch(options, args)


def _static(understands: argparse.ArgumentParser, options: argparse.Namespace, own: Sequence[str]) -> int:
    words = [word.partition("=")[0] for word in own[: own.index("--") if "--" in own else None]]
    for alien in ("-m", "--steps", "--folder", "--overhead", "--eager-probe", "--set"):
        if alien in words:
            understands.error(f"{alien} has no meaning with --static, which runs nothing")
    if not options.script:
        understands.error("which files or folders? trainwright check --static FILE_OR_FOLDER ...")
    from .static import check_source

    try:
        return check_source(options, [Path(p) for p in (options.script, *options.args)])
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _diagnose(options: argparse.Namespace) -> int:
    from .launch import judge_again

    return judge_again(options)


def _explain(name: str) -> int:
    from . import report, rules
    from .settings import unknown

    found = next((rule for rule in rules.ALL if rule.name == name), None)
    if found is None:
        names = [rule.name for rule in rules.ALL]
        print(
            f"trainwright: {unknown('there is no rule', name, names)} `trainwright rules` lists all.",
            file=sys.stderr,
        )
        return USAGE
    report.explain(found, sys.stdout)
    return 0


def _rules() -> int:
    from . import report, rules

    report.catalogue(rules.ALL, sys.stdout)
    return 0
