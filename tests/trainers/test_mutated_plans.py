"""Whatever is done to a plan: a network is built from it, or a sentence says why not."""

import json
import warnings
from copy import deepcopy

import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_ext.descriptions.plans_json import check_plans
from nnunetv2_ext.errors import InputSizeError, PlanError
from nnunetv2_ext.presets import PRESETS
from nnunetv2_ext.trainers.networks import build_network
from tests.plans import CONFIGURATIONS

PLANS = {"dataset_name": "Dataset999_Tiny", "plans_name": "nnUNetPlans", "configurations": {"3d": CONFIGURATIONS["3d"]}}
DELETED = object()
# Small numbers: a network of a million channels is a valid plan, and too large to build here.
VALUES = st.one_of(
    st.just(DELETED),
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.floats(-2, 9),
    st.sampled_from(["", "3d", "torch.nn.Linear", "torch.nn.Conv2d", "nonsense.of.a.name"]),
    st.lists(st.integers(-1, 4), max_size=4),
    st.lists(st.lists(st.integers(-1, 4), max_size=4), max_size=4),
    st.dictionaries(st.sampled_from(["eps", "p", "n_stages", "other"]), st.integers(0, 3), max_size=2),
)


def places(content, path=()):
    """The path to every value in the plans, and the plans themselves."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = list(places(PLANS))


def mutated(plans, path, value):
    if not path:
        return None if value is DELETED else value
    plans = deepcopy(plans)
    parent = plans
    try:
        for key in path[:-1]:
            parent = parent[key]
        if value is DELETED:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
    except (KeyError, IndexError, TypeError):  # an earlier mutation took the place away
        return plans
    return plans


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=2), st.sampled_from(sorted(PRESETS)))
@example([((*PLACES[3], "architecture", "arch_kwargs", "strides"), [[1, 1, 1], [0, 2, 2], [2, 2, 2]])], "EGE")
def test_a_mutated_plan_builds_or_is_a_sentence(mutations, preset):
    plans = PLANS
    for path, value in mutations:
        plans = mutated(plans, path, value)
    plans = json.loads(json.dumps(plans))  # as a trainer gets it
    try:
        network = build(plans, preset)
    except (PlanError, InputSizeError) as error:
        said = str(error)
    else:
        said = f"a network of {len(list(network.modules()))} modules"
    assert len(said) > 20
    assert "\n" not in said


def build(plans, preset):
    check_plans(plans, "3d")
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and nnU-Net, about what is odd in the plan
        return build_network(PRESETS[preset], PlansManager(plans).get_configuration("3d"), 1, 3, deep_supervision=True)
