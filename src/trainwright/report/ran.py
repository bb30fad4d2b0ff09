"""The end of a report: what was looked at, what it cost, and what the run was."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ..core import Finding, Rule, Run, Site
from ..rules.verdict import Verdict
from .data import near
from .markup import Markup, folded, join, number, scrollable, sentence, table, tag

MODULES = 120
"""Most modules listed."""


def seen(run: Run, findings: Sequence[Finding], rules: Sequence[Rule], said: Verdict) -> Markup:
    """What was read, which rules were clean, and what could not be judged."""
    found = {f.rule for f in findings}
    lacking = {r.name: [s.name for s in r.needs if s not in run] for r in rules}
    clean = [r for r in rules if r.name not in found and not lacking[r.name]]
    blind = [r for r in rules if r.name not in found and lacking[r.name]]
    absent = [line for line in said.looked_at if line.startswith("no ")]
    unwatched = [*absent, *(line for line in run.facts.get("given_up", []) if line not in absent)]
    failures = run.facts.get("own_failures", [])
    return join(
        [
            tag(
                "div",
                _list("Seen", [sentence(line) for line in said.looked_at if line not in unwatched]),
                _list("Not seen", [sentence(line.removeprefix("no ")) for line in unwatched]),
                class_="columns",
            ),
            _list(
                "Failed in trainwright itself; the training was not touched",
                [join([tag("code", f["where"]), " ", f["error"]]) for f in failures],
            ),
            folded(
                f"Clean: {len(clean)} rule{'' if len(clean) == 1 else 's'} looked and found nothing",
                tag(
                    "ul",
                    *(tag("li", tag("code", r.name), " ", sentence(r.summary)) for r in clean),
                    class_="rules",
                ),
            )
            if clean
            else None,
            folded(
                f"Not judged: {len(blind)} rule{'' if len(blind) == 1 else 's'} lacked a signal",
                tag(
                    "ul",
                    *(tag("li", tag("code", r.name), f" needs {', '.join(lacking[r.name])}") for r in blind),
                    class_="rules",
                ),
            )
            if blind
            else None,
        ]
    )


def spent(run: Run) -> Markup:
    """What watching took of the run's time."""
    cost = run.facts.get("overhead") or {}
    if not cost:
        return tag("p", "Not measured.", class_="quiet")

    def seconds(key: str) -> str | None:
        value = cost.get(key)
        return f"{number(float(value))} s" if isinstance(value, int | float) else None

    def percent(key: str) -> str | None:
        value = cost.get(key)
        return f"{100 * float(value):.3g} %" if isinstance(value, int | float) else None

    rows = {
        "Share of the run's time": percent("share"),
        "Budget": percent("budget") or (str(cost["budget"]) if cost.get("budget") is not None else None),
        "Spent on watching": seconds("own_s"),
        "Spent once, at the start": seconds("startup_s"),
        "The run took": seconds("run_s"),
        "Sampled steps": f"{cost['sampled']:,} of {run.steps:,}"
        if isinstance(cost.get("sampled"), int)
        else None,
    }
    return _pairs(rows)


def facts(run: Run) -> Markup:
    """Command, versions, optimisers and the model's modules."""
    about = run.facts
    argv, per_epoch = about.get("argv"), about.get("steps_per_epoch")
    rows: dict[str, object] = {
        "Log": tag("code", about["curves"]["file"]) if "curves" in about else None,
        "Script": tag("code", about["script"]) if about.get("script") else None,
        "Command": tag("code", about.get("command") or (shlex.join(argv) if argv else ""))
        if about.get("command") or argv
        else None,
        "Started": about.get("started"),
        "Finished": about.get("finished"),
        "Exit status": about.get("exit_status"),
        "Ended by": about.get("exception") or about.get("stopped_by"),
        "Device": about.get("device"),
        "Processes": f"{about['world_size']} (this is rank {about.get('rank', 0)})" if about.get("world_size", 1) > 1 else None,
        "Mixed precision": about.get("amp"),
        "Compiled": "yes" if about.get("compiled") else None,
        "Batch size": about.get("batch_size"),
        "Data set": f"{about['dataset_size']:,} samples" if about.get("dataset_size") else None,
        "Shuffled": {True: "yes", False: "no"}.get(about.get("shuffled")),  # type: ignore[arg-type]
        "Steps": f"{run.steps:,}",
        "Steps per epoch": number(per_epoch) if per_epoch else None,
        "Loss": join(_losses(run)) or None,
        "Versions": ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items()) or None,
    }  # fmt: skip
    return join([_pairs(rows), _optimizers(run), _modules(run)])


def _losses(run: Run) -> list[Markup]:
    return [
        tag("div", tag("code", known["kind"]), f" ({known['reduction']})" if known["reduction"] else None, _line(known["site"]))
        for known in run.facts.get("losses", [])
    ]  # fmt: skip


def _optimizers(run: Run) -> Markup | None:
    parts = []
    for optimizer in run.facts.get("optimizers", []):
        on = (
            key
            for group in optimizer["groups"]
            for key, value in group.items()
            if value not in (None, False, "")
        )
        keys = list(dict.fromkeys(["lr", *on]))
        rows = [
            [str(i), *(_value(group.get(key)) for key in keys)] for i, group in enumerate(optimizer["groups"])
        ]
        notes = [f"zeroed {optimizer['zero_grad_calls']:,} times"]
        if optimizer["scheduler"]:
            notes.append(f"scheduled by {optimizer['scheduler']}")
        notes += [f"clipped by {c.get('kind')} at {_value(c.get('limit'))}" for c in optimizer["clip"]]
        caption = join([tag("code", optimizer["type"]), _line(optimizer["site"]), f": {', '.join(notes)}"])
        groups = table(["group", *keys], rows, caption=caption, numeric=1)
        parts.append(tag("div", groups, class_="sheet", **scrollable(f"Groups of {optimizer['type']}")))
    return join([tag("h3", "Optimiser" if len(parts) == 1 else "Optimisers"), *parts]) if parts else None


def _modules(run: Run) -> Markup | None:
    """The tree of modules, each with its line and the weights that it owns."""
    modules = run.facts.get("modules", {})
    if not modules:
        return None
    owned: dict[str, tuple[int, bool]] = {}
    for p in run.facts.get("parameters", {}).values():
        size = 1
        for n in p["shape"]:
            size *= n
        count, trains = owned.get(p["module"], (0, False))
        owned[p["module"]] = (count + size, trains or p["trainable"])
    rows = []
    for name, module in list(modules.items())[:MODULES]:
        count, trains = owned.get(name, (0, True))
        depth = min(8, name.count(".") + 1) if name else 0
        weights = f"{count:,}{'' if trains else ' frozen'}" if count else ""
        title = tag("code", name.rpartition(".")[2] or "model", class_=f"d{depth}" if depth else None)
        rows.append([title, tag("code", module["type"]), weights, _line(module["site"], "")])
    total = sum(count for count, _ in owned.values())
    caption = f"{len(modules):,} modules, {total:,} weights"
    if len(modules) > MODULES:
        caption += f"; the first {MODULES} are listed"
    tree = tag(
        "div",
        table(["module", "type", "own weights", "built at"], rows, caption=caption),
        class_="sheet tree",
        **scrollable("The modules of the model"),
    )
    return folded(f"The model: {caption}", tree)


def _line(site: Site | None, before: str = " at ") -> Markup:
    return join([before, tag("code", f"{near(site['file'])}:{site['line']}")]) if site else Markup("")


def _value(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return "–" if value is None else str(value)


def _list(title: str, items: Sequence[object]) -> Markup | None:
    return tag("div", tag("h3", title), tag("ul", *(tag("li", item) for item in items))) if items else None


def _pairs(rows: Mapping[str, object]) -> Markup:
    """Names and values, without those that are unknown."""
    pairs = [
        tag("div", tag("dt", name), tag("dd", value)) for name, value in rows.items() if value is not None
    ]
    return tag("dl", *pairs)
