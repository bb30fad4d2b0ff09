from trainwright.core import Severity
from trainwright.rules.parameters_outside_optimizer import parameters_outside_optimizer

from .builder import HERE, a_module, a_parameter, made


def found(parameters, **facts):
    modules = {"": a_module("Net", 2), "body": a_module("Linear"), "head": a_module("Linear")}
    return parameters_outside_optimizer(
        made(parameters=parameters, **{"modules": modules, "roots": ["Net"], "steps": 10, **facts})
    )


def test_a_head_that_no_optimiser_owns_is_harm_at_its_line():
    (finding,) = found(
        {
            "body.weight": a_parameter("body"),
            "head.weight": a_parameter("head", None),
            "head.bias": a_parameter("head", None),
        }
    )
    assert finding.severity is Severity.HARM
    assert "`head.weight`, `head.bias`" in finding.message
    assert finding.where[0] == ("head", "head.weight", HERE["file"], HERE["line"])
    assert finding.evidence[0].measured == 2


def test_a_body_left_out_before_a_head_is_a_hint():
    (finding,) = found({"body.weight": a_parameter("body", None), "head.weight": a_parameter("head")})
    assert finding.severity is Severity.HINT


def test_frozen_parameters_are_fine():
    frozen = a_parameter("head", None, trainable=False, got_gradient=False)
    assert not found({"body.weight": a_parameter("body"), "head.weight": frozen})


def test_parameters_that_get_no_gradient_are_not_its_matter():
    assert not found(
        {"body.weight": a_parameter("body"), "head.weight": a_parameter("head", None, got_gradient=False)}
    )


def test_several_optimisers_share_out_a_model():
    assert not found({"body.weight": a_parameter("body", 0), "head.weight": a_parameter("head", 1)})


def test_a_model_of_which_nothing_is_owned_is_fine_beside_another():
    """An attacked classifier, or one that scores pictures: its gradients only pass through."""
    parameters = {"generator.weight": a_parameter("generator"), "critic.weight": a_parameter("critic", None)}
    assert not found(parameters, roots=["G", "D"])
    assert not found({"critic.weight": a_parameter("critic", None)})


def test_layers_in_a_python_list_are_harm_and_a_borrowed_net_is_a_hint():
    modules = {"": a_module("Net", 1), "body": a_module("Linear"), "linear_0": a_module("Linear")}
    parameters = {"body.weight": a_parameter("body"), "linear_0.weight": a_parameter("linear_0", None)}
    assert found(parameters, modules=modules)[0].severity is Severity.HARM
    loaded = [{"module": "VGG", "site": HERE, "matched": 26, "missing": 0, "unexpected": 0}]
    assert found(parameters, modules=modules, loaded=loaded)[0].severity is Severity.HINT


def test_a_swapped_head_is_harm_after_loading_weights_too():
    loaded = [{"module": "Net", "site": HERE, "matched": 2, "missing": 0, "unexpected": 0}]
    parameters = {"body.weight": a_parameter("body"), "head.weight": a_parameter("head", None)}
    assert found(parameters, loaded=loaded)[0].severity is Severity.HARM


def test_many_names_are_cut_after_three():
    parameters = {"body.weight": a_parameter("body")} | {
        f"head.{i}": a_parameter("head", None) for i in range(9)
    }
    (finding,) = found(parameters)
    assert "and 6 more" in finding.message
    assert len(finding.where) == 3


def test_a_run_without_facts_has_nothing_to_find():
    assert not parameters_outside_optimizer(made())
