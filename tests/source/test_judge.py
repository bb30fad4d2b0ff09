import sys
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.core import Severity
from trainwright.rules import ALL
from trainwright.source import NAMES, judge, parse
from trainwright.source.checks import CHECKS

from . import (
    test_clipping_misplaced,
    test_detached_graph,
    test_double_softmax,
    test_evaluation_mode,
    test_missing_zero_grad,
    test_output_activation_mismatch,
    test_parameters_outside_optimizer,
    test_retained_graph,
    test_schedule_mistimed,
    test_stale_best_weights,
    test_unshuffled_data,
)
from .snippets import START, findings, rules

SUM = """
total = 0.0
for x, y in loader:
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    total += loss{comment}
"""
MODULES = [
    test_clipping_misplaced,
    test_detached_graph,
    test_double_softmax,
    test_evaluation_mode,
    test_missing_zero_grad,
    test_output_activation_mismatch,
    test_parameters_outside_optimizer,
    test_retained_graph,
    test_schedule_mistimed,
    test_stale_best_weights,
    test_unshuffled_data,
]
LINES = sorted(
    {
        line.strip()
        for module in MODULES
        for name in ("SICK", "HEALTHY", "EVALUATED", "TRAINED")
        for text in getattr(module, name, {}).values()
        for line in f"{START}\n{text}".splitlines()
        if line.strip()
    }
)


class TestAComment:
    @pytest.mark.parametrize(
        "comment",
        [
            "  # trainwright: ignore[retained-graph]",
            "  # why not  # trainwright: ignore[double-softmax, retained-graph]",
            "  #trainwright:ignore [retained-graph]",
        ],
    )
    def test_leaves_the_rules_that_it_names_out(self, comment):
        assert rules(SUM.format(comment=comment)) == []

    def test_leaves_other_rules_alone(self):
        assert rules(SUM.format(comment="  # trainwright: ignore[double-softmax]")) == ["retained-graph"]

    def test_on_another_line_does_nothing(self):
        assert rules("# trainwright: ignore[retained-graph]" + SUM.format(comment="")) == ["retained-graph"]

    def test_in_a_string_is_none(self):
        assert rules(SUM.format(comment='; print("# trainwright: ignore[retained-graph]")')) == [
            "retained-graph"
        ]

    def test_may_stand_at_the_end_of_a_statement_of_several_lines(self):
        long = "loss = F.cross_entropy(\n    F.softmax(model(x), 1),\n    y,\n)"
        assert rules(long) == ["double-softmax"]
        assert rules(f"{long}  # trainwright: ignore[double-softmax]") == []

    def test_with_an_unknown_rule_is_reported_with_the_one_that_was_meant(self):
        found = findings(START + SUM.format(comment="  # trainwright: ignore[retained-grap]"))
        hint, kept = sorted(found, key=lambda f: f.rule != "trainwright")
        assert kept.rule == "retained-graph"
        assert hint.severity is Severity.HINT
        assert "`retained-grap`" in hint.message
        assert "Did you mean `retained-graph`?" in hint.message

    def test_without_a_rule_is_reported(self):
        found = findings(START + SUM.format(comment="  # trainwright: ignore"))
        assert {f.rule for f in found} == {"trainwright", "retained-graph"}


def test_findings_say_less_than_their_rules_never_more():
    grade = {rule.name: rule.severity for rule in ALL}
    texts = [
        f"{getattr(m, 'LOOP', '') * (m is test_detached_graph)}{text}"
        for m in MODULES
        for n in ("SICK", "EVALUATED", "TRAINED")
        for text in getattr(m, n, {}).values()
    ]
    for finding in (f for text in texts for f in findings(f"{START}\n{dedent(text)}")):
        assert finding.severity is not None
        assert finding.severity <= grade.get(finding.rule, Severity.HARM)
        assert finding.evidence
        assert finding.fix
        assert finding.where[0].line


def test_a_check_that_fails_is_our_fault_and_the_others_are_asked(monkeypatch):
    def broken(view):
        raise ZeroDivisionError("on purpose")
        yield

    monkeypatch.setattr(sys.modules["trainwright.source.judge"], "CHECKS", ((("x",), broken), *CHECKS))
    found = [s.finding for s in judge(parse("a.py", START + SUM.format(comment="")), ["x", *NAMES], NAMES)]
    assert [f.rule for f in found] == ["trainwright", "retained-graph"]
    assert "ZeroDivisionError: on purpose" in found[0].message


def test_only_the_rules_that_are_asked_for_are_found():
    text = START + SUM.format(comment="") + "\nloss = criterion(F.softmax(model(x), 1), y)"
    assert {s.finding.rule for s in judge(parse("a.py", text), NAMES, NAMES)} == {
        "retained-graph",
        "double-softmax",
    }
    assert [s.finding.rule for s in judge(parse("a.py", text), ["double-softmax"], NAMES)] == [
        "double-softmax"
    ]


def test_without_torch_nothing_is_judged():
    assert [f.rule for f in findings(SUM.format(comment=""))] == []


@st.composite
def programs(draw):
    """Lines of all snippets in any order and depth, closed so that most of them parse."""
    rows, depth = ["import torch"], 0
    for line in draw(st.lists(st.sampled_from(LINES), max_size=25)):
        depth = draw(st.integers(0, depth)) if not rows[-1].endswith(":") else depth + 1
        rows.append("    " * depth + line)
    if rows[-1].endswith(":"):
        rows.append("    " * (depth + 1) + "pass")
    return "\n".join(rows)


def parses(text):
    try:
        compile(text, "a.py", "exec", flags=0x400)
    except SyntaxError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(programs().filter(parses))
def test_no_check_fails_on_any_program_of_these_lines(text):
    assert [f.message for f in findings(text) if f.rule == "trainwright"] == []


ODD = [
    "x: int",
    "self.x = self.x",
    "model = model",
    "a = b\nb = a\nF.cross_entropy(a, b)",
    "def f(x): return f(x)\nf(f)(f).backward()",
    "class A(A): pass\nclass B(C): pass\nclass C(B): pass\nA()(x)",
    "class A(nn.Module):\n    def forward(self, x): return self(x)\nF.cross_entropy(A()(x), y)",
    "model = nn.Sequential(model)\nF.cross_entropy(model(x), y)",
    "for x in x: x.backward(); x.step()",
    "loss.backward(*a, **k); optimizer.step(*a)",
    "match model:\n    case nn.Linear(): optimizer.step()\n    case _: pass",
    "async def f():\n    async for x in y:\n        async with a as (b, *c): x.backward()\n        optimizer.step()",
    "try: loss.backward()\nexcept* E as e: optimizer.step()\nfinally: optimizer.zero_grad()",
    "lambda optimizer: [optimizer.step() for x in loader if (y := loss.backward())]",
    "(a, [b, *c]), d.e[f] = g = criterion(a, b)\nF.cross_entropy(c, b)",
    "del optimizer, p.grad",
    "global optimizer\noptimizer = optim.Adam()\nmodel.fc = nn.Linear(1, 2)\noptimizer.step()",
    "optimizer = optim.Adam(*a)\nDataLoader(*a)\nnn.Linear(*a)(x)\nF.softmax(*a)",
    "x = " + "+".join(["x"] * 900) + "\nx.backward()",
    "x" + ".detach()" * 400 + ".backward()",
    "\n".join("    " * i + "for x in loader:" for i in range(15)) + " optimizer.step(); loss.backward()",
]


@pytest.mark.parametrize("text", ODD)
def test_no_check_fails_on_odd_source(text):
    assert [f.message for f in findings(f"{START}\n{text}") if f.rule == "trainwright"] == []
