"""What a loop does to gradients, in order: backward, step, zero_grad, clipping, modes; helpers are looked into."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

from .kinds import Kinds
from .program import Program
from .syntax import FUNCTIONS, LOOPS, Function, Loop, key

Kind = Literal["backward", "step", "zero", "schedule", "clip", "unscale", "eval", "train", "stranger"]
Trail: TypeAlias = tuple[tuple[ast.AST, str], ...]

HELPERS = 2
"""Functions of the file are looked into so deep; a call below that is a stranger."""

CLIPS = {"torch.nn.utils.clip_grad_norm_", "torch.nn.utils.clip_grad_value_", "torch.nn.utils.clip_grad_norm"}
CLIPS |= {name.replace("utils.", "utils.clip_grad.") for name in CLIPS}

HARMLESS = {
    "print",
    "tqdm",
    "summary",
    "trange",
    "isinstance",
    "len",
    "type",
    "id",
    "hasattr",
    "getattr",
    "str",
}
"""Calls that may be handed a model or an optimiser and leave its gradients alone."""

HOOKS = ("on_", "call_", "after_", "before_", "notify")


class Event(NamedTuple):
    """One thing that happens."""

    kind: Kind
    name: str
    """On what, by the caller's name: `self.opt`."""
    node: ast.Call | ast.stmt
    trail: Trail
    """Branches and loops around it, outermost first, from the start of what was asked for."""
    scaled: bool = False
    """A backward or a step through a GradScaler."""

    @property
    def loops(self) -> tuple[ast.AST, ...]:
        return tuple(n for n, _ in self.trail if isinstance(n, LOOPS))


class Events:
    """Reads the events of statements of one program."""

    def __init__(self, program: Program, kinds: Kinds) -> None:
        self.program = program
        self.kinds = kinds
        self._known: dict[ast.AST, list[Event]] = {}
        self._own: dict[Function, set[str]] = {}

    def of_loop(self, loop: Loop) -> list[Event]:
        """What one round of a loop does."""
        known = self._known.get(loop)
        if known is None:
            known = self._known[loop] = list(self._block(loop.body, (), {}, 0, ()))
        return known

    def _block(
        self,
        statements: Iterable[ast.stmt],
        trail: Trail,
        names: Mapping[str, str],
        depth: int,
        within: tuple[Function, ...],
    ) -> Iterator[Event]:
        for statement in statements:
            if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
                continue
            yield from self._grad_written(statement, trail)
            for part, value in ast.iter_fields(statement):
                if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                    inner = (
                        trail
                        if isinstance(statement, ast.With | ast.AsyncWith)
                        else (*trail, (statement, part))
                    )
                    yield from self._block(value, inner, names, depth, within)
                elif isinstance(value, list):
                    for one in value:
                        if isinstance(one, ast.ExceptHandler | ast.match_case):
                            yield from self._block(one.body, (*trail, (one, "body")), names, depth, within)
                        elif isinstance(one, ast.AST):
                            yield from self._calls(one, trail, names, depth, within)
                elif isinstance(value, ast.AST):
                    yield from self._calls(value, trail, names, depth, within)

    def _grad_written(self, statement: ast.stmt, trail: Trail) -> Iterator[Event]:
        """`p.grad = None`, `p.grad *= 0`: the user handles gradients with his own hands."""
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            written = (
                statement.targets if isinstance(statement, ast.Assign | ast.Delete) else [statement.target]
            )
            if any(isinstance(n, ast.Attribute) and n.attr == "grad" for t in written for n in ast.walk(t)):
                yield Event("zero", "", statement, trail)

    def _calls(
        self, node: ast.AST, trail: Trail, names: Mapping[str, str], depth: int, within: tuple[Function, ...]
    ) -> Iterator[Event]:
        if isinstance(node, ast.Lambda):
            return
        for child in ast.iter_child_nodes(node):
            yield from self._calls(child, trail, names, depth, within)
        if isinstance(node, ast.Call):
            yield from self._event(node, trail, names, depth, within)

    def _event(
        self, call: ast.Call, trail: Trail, names: Mapping[str, str], depth: int, within: tuple[Function, ...]
    ) -> Iterator[Event]:
        func = call.func
        said = func.attr if isinstance(func, ast.Attribute) else key(func)
        owner = func.value if isinstance(func, ast.Attribute) else None
        name = _named(owner, names)
        if (
            any(k.arg in ("zero_grad", "set_to_none") for k in call.keywords)
            or said.endswith("zero_grad")
            or (said in ("zero_", "detach_", "_foreach_zero_") and _of_grad(call))
        ):
            yield Event("zero", name, call, trail)
        elif said == "backward" and owner is not None and _plain(owner):
            yield Event("backward", name, call, trail, self._scaled(owner))
        elif said == "step" and owner is not None:
            yield from self._step(call, owner, name, trail, names, depth, within)
        elif self.program.dotted(func) in CLIPS:
            yield Event("clip", "", call, trail)
        elif said == "unscale_":
            yield Event("unscale", name, call, trail)
        elif said in ("eval", "train") and owner is not None:
            off = said == "train" and bool(call.args or call.keywords)
            known = call.args[0] if call.args else None
            if off and not (isinstance(known, ast.Constant) and known.value is False):
                yield Event(
                    "train", name, call, trail
                )  # `train(mode)`: either, so that no check relies on it
                yield Event("eval", name, call, trail)
            else:
                yield Event("eval" if off else said, name, call, trail)  # type: ignore[arg-type]
        else:
            yield from self._inlined(call, trail, names, depth, within)

    def _step(
        self,
        call: ast.Call,
        owner: ast.expr,
        name: str,
        trail: Trail,
        names: Mapping[str, str],
        depth: int,
        within: tuple[Function, ...],
    ) -> Iterator[Event]:
        if self.kinds.is_schedule(owner):
            yield Event("schedule", name, call, trail)
        elif call.args and self.kinds.is_scaler(owner) and self.kinds.is_optimizer(call.args[0]):
            yield Event("step", _named(call.args[0], names), call, trail, scaled=True)
        elif self.kinds.is_optimizer(owner) and key(owner):
            if call.args or call.keywords:  # a closure: what it does is its own business
                yield Event("stranger", name, call, trail)
            else:
                yield Event("step", name, call, trail)
        else:
            yield from self._inlined(call, trail, names, depth, within)

    def _scaled(self, owner: ast.expr) -> bool:
        return (
            isinstance(owner, ast.Call)
            and isinstance(owner.func, ast.Attribute)
            and owner.func.attr == "scale"
            and self.kinds.is_scaler(owner.func.value)
        )

    def _inlined(
        self, call: ast.Call, trail: Trail, names: Mapping[str, str], depth: int, within: tuple[Function, ...]
    ) -> Iterator[Event]:
        function = self.program.function(call)
        if function is None or depth >= HELPERS or function in within:
            if function is not None or self._is_stranger(call):
                given = (_named(a, names) for a in (*call.args, *(k.value for k in call.keywords)))
                for one in filter(None, given):
                    yield Event("stranger", one, call, trail)
                if function is not None or self._is_unseen(call):
                    yield Event("stranger", "?", call, trail)
            return
        inner = self._arguments(function, call, names)
        yield from self._block(function.body, trail, inner, depth + 1, (*within, function))

    def _is_stranger(self, call: ast.Call) -> bool:
        name = self.program.dotted(call.func) or key(call.func)
        first = name.partition(".")[0]
        last = name.rpartition(".")[2]
        return not (
            first in ("torch", "numpy", "tqdm", "math") or last in HARMLESS or hasattr(builtins, name)
        )

    def _is_unseen(self, call: ast.Call) -> bool:
        """An inherited method, or a hook: it knows the object without being handed it."""
        name = key(call.func)
        last = name.rpartition(".")[2] or (call.func.attr if isinstance(call.func, ast.Attribute) else "")
        if last.startswith(HOOKS) or "hook" in last or "callback" in last:
            return True
        return name == f"self.{last}" and name not in self.program.assigned

    def _arguments(self, function: Function, call: ast.Call, names: Mapping[str, str]) -> dict[str, str]:
        """The caller's names of the parameters; a helper's own names get its name in front."""
        method = isinstance(self.program.parent.get(function), ast.ClassDef)
        plain = [a.arg for a in (*function.args.posonlyargs, *function.args.args)][1 if method else 0 :]
        given = {p: _named(a, names) for p, a in zip(plain, call.args, strict=False)}
        given |= {k.arg: _named(k.value, names) for k in call.keywords if k.arg}
        return {name: given.get(name) or f"{function.name}():{name}" for name in self._locals(function)}

    def _locals(self, function: Function) -> set[str]:
        """Parameters, and what the function assigns: all other names are the caller's as well."""
        known = self._own.get(function)
        if known is None:
            arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
            written = (
                n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            )
            known = self._own[function] = {*(a.arg for a in arguments), *written} - {"self"}
        return known


def _named(node: ast.AST | None, names: Mapping[str, str]) -> str:
    """A key as the caller would write it."""
    name = key(node)
    first, dot, rest = name.partition(".")
    return f"{names.get(first, first)}{dot}{rest}"


def _plain(owner: ast.expr) -> bool:
    """The backward of a loss, not of an engine that takes it (`accelerator.backward(loss)`)."""
    name = key(owner).rpartition(".")[2].lower()
    return not any(
        word in name for word in ("accelerator", "engine", "fabric", "optim", "scaler", "autograd", "self")
    )


def _of_grad(call: ast.Call) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "grad" for n in ast.walk(call))
