import pytest

from trainwright.core import Severity
from trainwright.rules.double_softmax import double_softmax
from trainwright.rules.kinds import floor_of_cross_entropy

from .builder import HERE, a_loss, made, series


def found(**known):
    return double_softmax(made(losses=[a_loss(**known)], steps=10))


def test_a_softmax_before_cross_entropy_is_harm_at_its_own_line_and_at_the_loss():
    here = {"file": "net.py", "line": 3}
    (finding,) = found(
        kind="cross_entropy", classes=4, input_from="softmax", sums_to_one=True, input_site=here
    )
    assert finding.severity is Severity.HARM
    assert [(w.file, w.line) for w in finding.where] == [("net.py", 3), (HERE["file"], HERE["line"])]
    assert "0.74" in finding.message


def test_probabilities_of_unknown_origin_before_cross_entropy_are_harm():
    assert found(kind="cross_entropy", classes=10, sums_to_one=True, input_from="div")


@pytest.mark.parametrize("made_by", ["sigmoid", "softmax"])
def test_probabilities_before_a_logistic_loss_are_harm(made_by):
    assert found(kind="binary_cross_entropy_with_logits", input_from=made_by)


@pytest.mark.parametrize("made_by", ["log_softmax", "linear", "mul", None])
def test_log_softmax_and_free_outputs_before_cross_entropy_are_fine(made_by):
    assert not found(kind="cross_entropy", classes=4, input_from=made_by, sums_to_one=False)


@pytest.mark.parametrize("kind", ["nll_loss", "mse_loss", "binary_cross_entropy", "custom"])
def test_a_softmax_before_other_losses_is_not_its_matter(kind):
    assert not found(kind=kind, classes=4, input_from="softmax", sums_to_one=True)


def test_one_class_is_not_its_matter():
    assert not found(kind="cross_entropy", classes=1, input_from="softmax")


def test_the_loss_that_was_reached_is_shown_beside_the_floor():
    from trainwright.signals import loss

    known = a_loss("cross_entropy", classes=10, input_from="softmax")
    (finding,) = double_softmax(made({loss: series([1.6] * 40)}, losses=[known], steps=40))
    assert finding.evidence[1].measured == pytest.approx(1.6)
    assert finding.evidence[1].limit == pytest.approx(1.4612, abs=1e-3)


@pytest.mark.parametrize(("classes", "floor"), [(2, 0.3133), (4, 0.7437), (10, 1.4612)])
def test_the_floor_is_that_of_perfectly_sure_probabilities(classes, floor):
    assert floor_of_cross_entropy(classes) == pytest.approx(floor, abs=1e-4)


def test_a_run_without_losses_has_nothing_to_find():
    assert not double_softmax(made())
