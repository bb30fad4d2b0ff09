"""What the user has set, on the command line or in pyproject.toml: rules, limits, what watching may cost.

The command line wins over `[tool.trainwright]` of the nearest pyproject.toml, key by key; limits add up.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .core import Rule, Severity

OVERHEAD = 0.02
KEYS = ("select", "ignore", "set", "overhead", "fail-on")


class UsageError(ValueError):
    """A wish that cannot be met, in one sentence that says what to do."""


class Settings(NamedTuple):
    """What the user has set; names of rules are not yet looked up, so that this needs no numpy."""

    select: list[str] | None
    ignore: list[str]
    limits: dict[str, dict[str, float]]
    overhead: float
    fail_on: str | None

    def judges(self) -> tuple[Rule, ...]:
        """The rules to ask; raises `UsageError` for a rule or a limit that there is not."""
        from .rules import ALL

        known = {rule.name: rule for rule in ALL}
        for name in (*(self.select or ()), *self.ignore, *self.limits):
            if name not in known:
                raise UsageError(f"{unknown('there is no rule', name, known)} `trainwright rules` lists all.")
        for name, limits in self.limits.items():
            for limit in limits:
                if limit not in known[name].limits:
                    has = ", ".join(known[name].limits) or "none"
                    said = unknown(f"rule `{name}` has no limit", limit, known[name].limits)
                    raise UsageError(f"{said} Its limits: {has}.")
        chosen = [known[name] for name in known if self.select is None or name in self.select]
        return tuple(rule for rule in chosen if rule.name not in self.ignore)

    def fails(self, grades: Iterable[Severity | None]) -> bool:
        """Whether `--fail-on` turns findings of these grades into status 1."""
        from .core import Severity

        return self.fail_on is not None and any((g or 0) >= Severity[self.fail_on.upper()] for g in grades)


def settings(options: Namespace) -> Settings:
    """What holds for this call.

    Raises:
        UsageError: pyproject.toml cannot be read, or says something that is not understood.
    """
    file = next((p for d in (Path.cwd(), *Path.cwd().parents) if (p := d / "pyproject.toml").is_file()), None)
    project = _table(file) if file else {}
    try:
        ours = _checked(project)
    except UsageError as error:
        raise UsageError(f"{file}, [tool.trainwright]: {error}") from None
    limits = {**ours.limits}
    for name, value in options.set or ():
        rule, _, limit = name.partition(".")
        limits[rule] = {**limits.get(rule, {}), limit: value}
    overhead = getattr(options, "overhead", None)
    return Settings(
        options.select if options.select is not None else ours.select,
        options.ignore if options.ignore is not None else ours.ignore,
        limits,
        overhead if overhead is not None else ours.overhead,
        options.fail_on or ours.fail_on,
    )


def share(said: object) -> float:
    """A share of the run's time, above 0 and below 1.

    >>> share("2%"), share("0.02"), share(0.5)
    (0.02, 0.02, 0.5)
    """
    text = str(said).strip()
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0
    if isinstance(said, bool) or not 0 < value < 1:
        raise UsageError(f"`{said}` is not a share between 0 and 1; write for instance 2% or 0.02.")
    return value


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence about a name that is not known, with the one that was probably meant.

    >>> unknown("there is no rule", "dead-unit", ["dead-units"])
    'there is no rule `dead-unit`. Did you mean `dead-units`?'
    """
    near = get_close_matches(name, list(known), 1)
    return f"{what} `{name}`." + (f" Did you mean `{near[0]}`?" if near else "")


def _table(file: Path) -> Mapping[str, object]:
    import tomllib

    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("trainwright", {})
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"cannot read {file}: {error}.") from None
    if not isinstance(table, dict):
        raise UsageError(f"{file}: `tool.trainwright` is not a table.")
    return table


def _checked(table: Mapping[str, object]) -> Settings:
    for key in table:
        if key not in KEYS:
            raise UsageError(f"{unknown('there is no key', key, KEYS)} It knows {', '.join(KEYS)}.")
    fail_on = table.get("fail-on")
    if fail_on is not None and fail_on not in ("hint", "harm", "fatal"):
        raise UsageError(f"`fail-on` is {fail_on!r}; it can be hint, harm or fatal.")
    limits = table.get("set", {})
    if not isinstance(limits, dict):
        raise UsageError('`set` is not a table; write for instance set = { "dead-units.share" = 0.9 }.')
    return Settings(
        _names(table, "select"),
        _names(table, "ignore") or [],
        _limits(limits),
        share(table["overhead"]) if "overhead" in table else OVERHEAD,
        str(fail_on) if fail_on else None,
    )


def _names(table: Mapping[str, object], key: str) -> list[str] | None:
    names = table.get(key)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"`{key}` is not a list of names of rules.")
    return names


def _limits(table: Mapping[str, object]) -> dict[str, dict[str, float]]:
    """`{"rule.limit" = 1}` or, as TOML reads it without the quotes, `{rule = {limit = 1}}`."""
    found: dict[str, dict[str, float]] = {}
    for name, value in table.items():
        rule, _, limit = name.partition(".")
        for key, number in value.items() if isinstance(value, dict) else [(limit, value)]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise UsageError(f"`set`: the limit `{rule}.{key}` is {number!r}, which is not a number.")
            found.setdefault(rule, {})[key] = float(number)
    return found
