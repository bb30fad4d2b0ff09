"""The verdict says what a run amounts to, and promises more only beyond the noise."""

import numpy as np
import pytest

from trainwright.core import Evidence, Finding, Run, Series, Severity
from trainwright.rules.promise import promise
from trainwright.rules.verdict import verdict


def run_of(losses, valid=None, rates=None, **facts) -> Run:
    """A run that saw these training losses, one a step, and these validation losses, evenly spread."""
    series = {"loss": column(np.arange(len(losses)), losses)}
    if valid is not None:
        series["valid_loss"] = column(np.linspace(1, max(len(losses), 2) - 1, len(valid)).astype(int), valid)
    if rates is not None:
        series["learning_rate"] = Series(np.arange(len(rates)), ("0",), np.array(rates, np.float32)[:, None])
    return Run(series, {"script": "train.py", "steps": len(losses), **facts})


def column(steps, values) -> Series:
    return Series(np.asarray(steps), ("",), np.asarray(values, np.float32)[:, None])


def finding(severity: Severity) -> Finding:
    return Finding("it is", (Evidence("x", 2.0, 1.0, "ratio"),), rule="some-rule", severity=severity)


def falling(steps: int, scale: float, noise: float = 0.05, seed: int = 0):
    x = np.arange(steps)
    return 0.5 + 2 * np.exp(-x / scale) + noise * np.random.default_rng(seed).normal(size=steps)


def test_harm_gives_the_verdict_findings_and_counts_each_kind():
    found = [finding(s) for s in (Severity.FATAL, Severity.HARM, Severity.HARM, Severity.HINT)]
    said = verdict(run_of(falling(200, 100)), found)
    assert said.kind == "findings"
    assert said.sentence == "1 fatal finding, 2 harmful findings, 1 hint in 200 steps."


def test_a_hint_is_no_alarm_but_is_counted():
    said = verdict(run_of(falling(600, 20)), [finding(Severity.HINT)])
    assert said.kind == "nothing-found"
    assert said.sentence == "Nothing harmful found in 600 steps (1 hint besides)."


def test_harm_counts_however_little_was_seen():
    assert verdict(run_of([1.0]), [finding(Severity.FATAL)]).kind == "findings"


def test_a_loss_that_still_falls_is_still_improving_and_the_promise_holds():
    whole = falling(400, 150)
    said = verdict(run_of(whole[:300]), ())
    assert said.kind == "still-improving"
    assert "the training loss still falls" in said.sentence
    assert "another 99 steps" in said.sentence
    more = promise(run_of(whole[:300]))
    assert more.low < np.median(whole[275:300]) - np.median(whole[374:399]) < more.high


def test_the_validation_loss_decides_where_there_is_one():
    training = falling(300, 150)
    rests = run_of(training, valid=[1.0, 0.8, 0.7, 0.65, 0.64, 0.65, 0.64, 0.66, 0.65, 0.64])
    falls = run_of(training, valid=[1.0, 0.95, 0.9, 0.86, 0.82, 0.78, 0.75, 0.72, 0.69, 0.66])
    assert verdict(rests, ()).kind == "nothing-found"
    said = verdict(falls, ())
    assert said.kind == "still-improving"
    assert "the validation loss still falls: 0.66" in said.sentence
    assert "only that one tells" not in said.sentence


def test_too_few_validation_passes_leave_it_to_the_training_loss_and_that_is_said():
    said = verdict(run_of(falling(300, 150), valid=[0.9, 0.8, 0.7]), ())
    assert said.kind == "still-improving"
    assert "Of a validation loss too little was seen" in said.sentence


def test_noise_about_a_constant_rarely_promises_anything():
    rng = np.random.default_rng(5)
    promised = [promise(run_of(2.3 + 0.3 * rng.normal(size=200))) is not None for _ in range(200)]
    assert sum(promised) <= 10  # 2.5 % by the interval, and a margin


def test_a_converged_run_rarely_promises_anything():
    promised = [promise(run_of(falling(600, 60, seed=seed))) is not None for seed in range(100)]
    assert sum(promised) <= 5


def test_two_losses_that_may_pull_against_each_other_have_no_trend():
    one = falling(200, 100)
    gan = Run({"loss": Series(np.arange(200), ("", "gan.py:9"), np.stack([one, 3 - one], 1))}, {"steps": 200})
    said = verdict(gan, ())
    assert said.kind == "nothing-found"
    assert any("several losses" in phrase for phrase in said.looked_at)


def test_a_loss_that_ended_in_infinity_promises_nothing():
    losses = falling(300, 150)
    losses[-1] = np.inf
    assert promise(run_of(losses)) is None


def test_a_schedule_that_has_run_out_is_mentioned():
    rates = np.linspace(0.1, 0, 300)
    assert "needs a longer schedule" in verdict(run_of(falling(300, 150), rates=rates), ()).sentence
    assert "schedule" not in verdict(run_of(falling(300, 150), rates=rates + 0.1), ()).sentence


@pytest.mark.parametrize(
    ("losses", "steps", "words"),
    [
        ([], 0, "No training was seen: no optimiser stepped and no loss ran backward in train.py."),
        ([1.0] * 40, 0, "40 losses ran backward in train.py, but no optimiser stepped."),
        ([], 40, "40 optimiser steps, but no loss ran backward in train.py"),
        ([1.0] * 4, 4, "Only 4 optimiser steps seen; it takes 10 to judge."),
        ([1.0], 1, "Only 1 optimiser step seen; it takes 10 to judge."),
    ],
)
def test_too_little_seen_says_what_is_missing(losses, steps, words):
    said = verdict(run_of(losses, steps=steps), ())
    assert said.kind == "too-little-seen"
    assert said.sentence.startswith(words)


def test_what_cut_the_run_short_is_said():
    ten = [1.0] * 10
    crashed = verdict(run_of(ten, exception="ValueError: bad shape\nmore"), ())
    assert "The script ended with ValueError: bad shape." in crashed.sentence
    assert "needs `trainwright run`" in verdict(run_of(ten, stopped_by="check"), ()).sentence
    assert "interrupted" in verdict(run_of(ten, stopped_by="interrupt"), ()).sentence


def test_what_was_looked_at_is_counted_and_what_was_not_has_its_reason():
    run = run_of(
        falling(200, 50),
        valid=[1.0, 0.9],
        parameters={
            "fc.weight": {"shape": [10, 30], "module": "fc"},
            "fc.bias": {"shape": [10], "module": "fc"},
        },
        modules={"": {"type": "Net"}, "fc": {"type": "Linear"}},
        overhead={"sampled": 25},
        epochs=2,
        given_up=["Steps are shorter than 1 ms: layers were seen at every 8th step."],
    )
    run.series["activation_std"] = Series(np.arange(2), ("fc",), np.ones((2, 1), np.float32))
    phrases = verdict(run, ()).looked_at
    for phrase in (
        "200 optimiser steps in 2 epochs",
        "200 readings of the loss",
        "2 validation passes",
        "2 parameters of 310 weights",
        "1 layer of 2 modules",
        "gradients, weights and layers at 25 sampled steps",
        "no accuracy: no classification loss",
        "Steps are shorter than 1 ms: layers were seen at every 8th step.",
    ):
        assert phrase in phrases
    assert not any(phrase.startswith("no activation_std") for phrase in phrases)
