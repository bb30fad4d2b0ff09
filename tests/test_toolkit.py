"""What holds for every part of the toolkit: a user can take it from its page alone."""

import inspect
from dataclasses import is_dataclass

import pytest

import trainwright

PARTS = (
    "activation average clip curvature descent groups init lr_range norm regularize schedule stopping".split()
)
NAMES = {
    "activation": "Moments activations functional gain is_activation moments responsive saturates swap_",
    "average": "Average ema equal",
    "clip": "adaptive_ by_norm_ by_value_",
    "curvature": "along_gradient eigenvalues hessian_vector lag_gradient line noise_scale plane "
    "random_direction spectral_radius stability standstill trace",
    "descent": "Norm SteepestDescent orthogonalize sam",
    "groups": "decay_groups freeze_ layer_rates missing parts roles thaw_",
    "init": "Fans Loaded SkipInit delta_orthogonal_ fans fixup_ load_matching_ model_ orthogonal_ output_bias_ "
    "recurrent_ scaled_ unit_variance_",
    "lr_range": "RangeTest judge range_test",
    "norm": "batch_to_group_ enough freeze_ insert_ reestimate_ thaw_",
    "regularize": "Sparsity classical_dropout cross_entropy decay_ dropout_ l1_prox_ max_norm_ penalty pull_ "
    "pull_penalty sparsity",
    "schedule": "Plateau Schedule constant cosine cyclical exponential join linear milestones multiply "
    "one_cycle per_epoch polynomial square_root staircase warm_restarts warm_up warm_up_stable_decay",
    "stopping": "EarlyStopping advice agree noise",
}
PUBLIC = [
    pytest.param(getattr(getattr(trainwright, part), name), id=f"{part}.{name}")
    for part in PARTS
    for name in getattr(trainwright, part).__all__
    if inspect.isfunction(getattr(getattr(trainwright, part), name))
    or inspect.isclass(getattr(getattr(trainwright, part), name))
]


@pytest.mark.parametrize("part", PARTS)
def test_the_public_names_are_these(part):
    assert getattr(trainwright, part).__all__ == NAMES[part].split()


@pytest.mark.parametrize("what", PUBLIC)
class TestEveryFunction:
    @pytest.mark.parametrize("says", ["Helps: ", "Harms: ", "Costs: ", "Source: "])
    def test_says_when_it_helps_and_harms_what_it_costs_and_where_it_is_from(self, what, says):
        assert any(line.startswith(says) for line in inspect.getdoc(what).splitlines())

    def test_shows_how_it_is_used(self, what):
        assert ">>> " in inspect.getdoc(what)

    def test_begins_with_a_sentence(self, what):
        first = inspect.getdoc(what).partition("\n\n")[0]
        assert first.endswith("."), first

    def test_names_every_argument_in_its_docstring(self, what):
        if is_dataclass(what) or (inspect.isclass(what) and issubclass(what, tuple)):
            pytest.skip("a result: its fields stand with their own docstrings")
        documented = inspect.getdoc(what)
        asked = set(inspect.signature(what).parameters) - {"self", "args", "kwargs"}
        assert {
            name for name in asked if f"{name}:" not in documented and f"{name}," not in documented
        } == set()

    def test_is_named_by_the_one_who_changes_its_argument(self, what):
        changes = what.__name__.endswith("_")
        returns = str(inspect.signature(what).return_annotation)
        assert not (changes and returns == "None"), "functions that change their argument return it"
