"""What an expression is: an optimiser, a schedule, a loss, a model, a loader; and where gradients are off."""

from __future__ import annotations

import ast
import re

from .names import Names
from .program import Program
from .syntax import DEPTH, FUNCTIONS, Function, key

OPTIMISERS = set(
    "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam RAdam RMSprop Rprop SGD SparseAdam".split()
)
WEIGHTED = set(
    "Linear LazyLinear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv2d "
    "BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm RMSNorm Embedding EmbeddingBag RNN LSTM GRU RNNCell "
    "LSTMCell GRUCell MultiheadAttention Transformer TransformerEncoder TransformerDecoder "
    "TransformerEncoderLayer TransformerDecoderLayer PReLU".split()
)
"""Layers of torch.nn that have trainable parameters."""

MODAL = set(
    "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout BatchNorm1d BatchNorm2d BatchNorm3d "
    "LazyBatchNorm1d LazyBatchNorm2d SyncBatchNorm TransformerEncoderLayer TransformerDecoderLayer "
    "Transformer".split()
)
"""Layers of torch.nn that compute something else in eval mode."""

LOSSES = {
    "CrossEntropyLoss": "cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "BCELoss": "binary_cross_entropy",
    "NLLLoss": "nll_loss",
    "MSELoss": "mse_loss",
    "L1Loss": "l1_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "HuberLoss": "huber_loss",
    "KLDivLoss": "kl_div",
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "PoissonNLLLoss": "poisson_nll_loss",
}

KEPT = set(
    "to cuda cpu float double half bfloat16 train eval requires_grad_ share_memory apply compile".split()
)
"""Methods of a module that return the same module (`apply` and `compile` included, where chained)."""

WRAPPERS = {"torch.compile", "torch.nn.DataParallel", "torch.nn.parallel.DistributedDataParallel"}

OFF = ("no_grad", "inference_mode", "set_grad_enabled")

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def words(name: str) -> list[str]:
    """The words of the last part of a name: `self.optG_dis` -> opt, g, dis."""
    return [w.lower() for w in WORD.findall(name.rpartition(".")[2])]


class Kinds:
    """Answers about one program."""

    def __init__(self, program: Program, names: Names) -> None:
        self.program = program
        self.names = names

    # Optimisers and schedules

    def is_optimizer(self, node: ast.expr) -> bool:
        """One of torch.optim, or something unknown that is called an optimiser."""
        known = self.names.values(node)
        if known:
            made = [self.constructor(v) for v in known]
            if all(
                name.startswith("torch.optim.") and name.rpartition(".")[2] in OPTIMISERS for name in made
            ):
                return True
            if any(isinstance(v, ast.Call) and key(v.func) in self.program.classes for v in known):
                return False  # a class of this file may do anything
        said = words(key(node))
        return any(w == "opt" or w.startswith(("optim", "optimi")) for w in said) and not self.is_schedule(
            node
        )

    def is_schedule(self, node: ast.expr) -> bool:
        """One of torch.optim.lr_scheduler, or something unknown that is called a scheduler."""
        known = self.names.values(node)
        if known and all(self.constructor(v).startswith("torch.optim.lr_scheduler.") for v in known):
            return True
        if known and any(isinstance(v, ast.Call) and key(v.func) in self.program.classes for v in known):
            return False
        return any(w.startswith("sched") for w in words(key(node)))

    def schedule(self, node: ast.expr) -> ast.Call | None:
        """The one call of torch.optim.lr_scheduler that made it."""
        known = self.names.values(node)
        if not known or len(known) != 1 or not isinstance(known[0], ast.Call):
            return None
        return known[0] if self.constructor(known[0]).startswith("torch.optim.lr_scheduler.") else None

    def is_scaler(self, node: ast.expr) -> bool:
        known = self.names.values(node)
        if known:
            return all(self.constructor(v).endswith("GradScaler") and not _disabled(v) for v in known)
        return "scaler" in words(key(node))

    def constructor(self, value: ast.expr) -> str:
        """The dotted name of what a call calls, empty where it is no call of something imported."""
        return self.program.dotted(value.func) if isinstance(value, ast.Call) else ""

    # Losses

    def loss(self, call: ast.Call) -> str | None:
        """The functional name of the torch loss that a call computes."""
        name = self.program.dotted(call.func)
        if name.startswith("torch.nn.functional."):
            last = name.rpartition(".")[2]
            return last if last in LOSSES.values() else None
        if isinstance(call.func, ast.Call):
            return self._loss_class(call.func)
        known = self.names.values(call.func)
        if not known:
            return None
        made = {self._loss_class(self.unwrapped(v)) for v in known}
        return made.pop() if len(made) == 1 else None

    def _loss_class(self, value: ast.expr) -> str | None:
        name = self.constructor(value)
        return LOSSES.get(name.rpartition(".")[2]) if name.startswith("torch.nn.") else None

    # Models and layers

    def unwrapped(self, value: ast.expr) -> ast.expr:
        """The construction of a module without `.to(device)`, `torch.compile` and their like around it."""
        for _ in range(DEPTH):
            if not isinstance(value, ast.Call):
                break
            name = self.program.dotted(value.func)
            if name in WRAPPERS and value.args:
                value = value.args[0]
            elif isinstance(value.func, ast.Attribute) and not name and value.func.attr in KEPT:
                value = value.func.value
            else:
                break
        return value

    def module(self, node: ast.expr, depth: int = DEPTH) -> ast.Call | None:
        """The one call that constructs the module that an expression is: of torch.nn, or of a class here."""
        node = self.unwrapped(node)
        if depth <= 0:
            return None
        if isinstance(node, ast.Call):
            name = self.constructor(node)
            if name.startswith("torch.nn.") and name.rpartition(".")[2][:1].isupper():
                return node
            if self.module_class(node) is not None:
                return node
            made = self.program.function(node)
            returned = returns(made) if made is not None else []
            return self.module(returned[0], depth - 1) if len(returned) == 1 else None
        known = self.names.values(node)
        rest = [v for v in known or () if key(v) != key(node) and not self._wraps(v, key(node))]
        return self.module(rest[0], depth - 1) if known and len(rest) == 1 else None

    def _wraps(self, value: ast.expr, name: str) -> bool:
        """`model = model.to(device)`: the same module again."""
        inner = self.unwrapped(value)
        return inner is not value and key(inner) == name

    def module_class(self, call: ast.Call) -> ast.ClassDef | None:
        """The class of this file that a call constructs, if it is a torch module."""
        found = self.program.classes.get(key(call.func), [])
        return found[0] if len(found) == 1 and self.is_module_class(found[0]) else None

    def is_module_class(self, owner: ast.ClassDef) -> bool:
        return any(
            self.program.dotted(base) in ("torch.nn.Module", "torch.nn.Sequential")
            for one in self.program.family(owner)
            for base in one.bases
        )

    def has_weights(self, value: ast.expr) -> bool:
        """An expression that constructs something with trainable parameters, for sure."""
        value = self.unwrapped(value)
        if not isinstance(value, ast.Call):
            return False
        name = self.constructor(value)
        if name.startswith("torch.nn."):
            last = name.rpartition(".")[2]
            return last in WEIGHTED or (last == "Sequential" and any(self.has_weights(a) for a in value.args))
        owner = self.module_class(value)
        return owner is not None and any(
            isinstance(n, ast.Call) and self.constructor(n).rpartition(".")[2] in WEIGHTED
            for n in ast.walk(owner)
        )

    def modal_layer(self, node: ast.expr) -> str | None:
        """The dropout or batch norm that a model has for sure, by the name of its class."""
        made = self.module(node)
        if made is None:
            return None
        owner = self.module_class(made)
        inner: ast.AST = owner if owner is not None else made
        seen: set[ast.AST] = set()
        waiting = [inner]
        while waiting and len(seen) < 50:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            for n in ast.walk(one):
                if not isinstance(n, ast.Call):
                    continue
                name = self.constructor(n)
                if name.startswith("torch.nn.") and name.rpartition(".")[2] in MODAL and not _idle(n):
                    return name.rpartition(".")[2]
                within = self.module_class(n)
                if within is not None:
                    waiting.append(within)
        return None

    # Gradient mode

    def without_grad(self, node: ast.AST) -> bool:
        """Inside `with torch.no_grad()` or its like, or a function decorated with it."""
        for above in (node, *self.program.ancestors(node)):
            if isinstance(above, ast.With | ast.AsyncWith):
                if any(_switches(item.context_expr) for item in above.items):
                    return True
            elif isinstance(above, FUNCTIONS) and any(_switches(d) for d in above.decorator_list):
                return True
        return False


def returns(function: Function) -> list[ast.expr]:
    """What a function returns, each `return` once; a generator, or a bare `return`, gives nothing."""
    found: list[ast.expr] = []
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return []
        if isinstance(node, ast.Return):
            if node.value is None:
                return []
            found.append(node.value)
        waiting += ast.iter_child_nodes(node)
    return found


def _switches(node: ast.expr) -> bool:
    """Names of the user's own (`no_grad_if(...)`) count: in doubt gradients are off."""
    named = key(node.func) if isinstance(node, ast.Call) else key(node)
    return any(word in named for word in OFF)


def _disabled(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and any(
        k.arg == "enabled" and isinstance(k.value, ast.Constant) and not k.value.value for k in value.keywords
    )


def _idle(call: ast.Call) -> bool:
    """`Dropout(0)`, or a transformer layer without dropout."""
    given = [k.value for k in call.keywords if k.arg in ("p", "dropout", "track_running_stats")]
    dropout = isinstance(call.func, ast.Attribute | ast.Name) and "Dropout" in key(call.func)
    given += call.args[:1] if dropout else []
    return any(isinstance(v, ast.Constant) and not v.value for v in given)
