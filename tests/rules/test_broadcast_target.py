import pytest

from trainwright.core import Severity
from trainwright.rules.broadcast_target import broadcast_target

from .builder import a_loss, made


def severity(shape, target, kind="mse_loss", **known):
    findings = broadcast_target(
        made(losses=[a_loss(kind, input_shape=shape, target_shape=target, **known)], steps=10)
    )
    return findings[0].severity if findings else None


@pytest.mark.parametrize("kind", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
@pytest.mark.parametrize(("shape", "target"), [([32, 1], [32]), ([32], [32, 1]), ([32, 1, 1], [32])])
def test_a_column_against_a_row_is_harm(kind, shape, target):
    assert severity(shape, target, kind) is Severity.HARM


def test_the_finding_counts_what_is_compared():
    known = a_loss("mse_loss", input_shape=[32, 1], target_shape=[32])
    (finding,) = broadcast_target(made(losses=[known], steps=10))
    assert "(32, 1) with targets (32,)" in finding.message
    assert finding.evidence[0][1:3] == (1024, 32)


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ([32], [32]),
        ([32, 3], [32, 3]),
        ([1, 1], [1]),  # a batch of one
        ([32, 1], []),  # one target for all, as in a least-squares GAN
        ([32, 1], [1]),
        ([2, 32], [32]),  # two critics, one target
        ([32, 8], [32, 1]),  # several predictions for one target
        ([32, 3], [5, 7]),  # torch refuses these itself
    ],
)
def test_one_side_that_only_repeats_is_fine(shape, target):
    assert severity(shape, target) is None


def test_all_pairs_on_purpose_are_a_hint():
    assert severity([32, 8, 1], [32, 1, 8]) is Severity.HINT
    assert severity([32, 1], [1, 32]) is Severity.HINT


def test_a_loss_that_is_not_reduced_is_a_hint():
    assert severity([32, 1], [32], reduction="none") is Severity.HINT


@pytest.mark.parametrize("kind", ["cross_entropy", "custom"])
def test_losses_that_take_unlike_shapes_are_not_its_matter(kind):
    assert severity([32, 1], [32], kind) is None


def test_unknown_shapes_are_no_finding():
    assert severity(None, None) is None
