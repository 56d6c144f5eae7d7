import itertools

import numpy as np
import pytest
import torch

from wormwood.agents.learning.actors.circuit import NCAPActor
from wormwood.agents.learning.compiled.circuits import SYNAPSES, build_circuit, circuit_backward, circuit_forward
from wormwood.agents.policies.circuit import initial_weights
from wormwood.agents.policies.circuit_settings import SYNAPSES as KINDS
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim

BODY = swimmer(6)
LAYOUT = SwimmerSpec(BODY, Swim(horizon=1000)).layout
OPTIONS = [
    {"constraint": constraint, "constrain_signs": signs, **more}
    for constraint, signs, more in itertools.product(
        ("hard", "straight_through"),
        (True, False),
        ({}, {"own_feedback": True}, {"local_oscillators": True, "own_feedback": True}, {"proprioception": False}),
    )
]


@pytest.mark.parametrize("options", OPTIONS)
def test_outputs_and_gradients_are_those_of_the_module_in_torch(options):
    rng = np.random.default_rng(5)
    config = NCAPConfig(**options)
    weights = initial_weights(config, BODY, rng)
    for name in config.synapses:  # also on the wrong side of zero
        weights[name] = np.asarray(rng.normal(KINDS[name].sign * 0.7, 0.6))
    actor = NCAPActor(config, weights, body=BODY, layout=LAYOUT)
    rows = 300
    observation = rng.normal(size=(rows, LAYOUT.size)).astype("f4")
    observation[:, LAYOUT.clock] = rng.integers(0, 1000, rows)

    places = {name: 3 + index for index, name in enumerate(config.synapses)}
    signs = {name: KINDS[name].sign if config.constrain_signs else 0 for name in config.synapses}
    circuit = build_circuit(
        np.array(BODY.joint_limit), places, signs, inputs=LAYOUT.size, angles=LAYOUT.joints.start, clock=LAYOUT.clock,
        period=float(weights["period"]), lag=float(weights.get("lag", 0.0)),
        through=config.constraint == "straight_through", rows=rows + 3,
    )  # fmt: skip
    parameters = np.zeros(3 + len(SYNAPSES), dtype="f4")
    for name, place in places.items():
        parameters[place] = weights[name]
    circuit.inputs[:rows] = observation
    circuit_forward(circuit, parameters, rows)
    outputs = actor(torch.tensor(observation))
    np.testing.assert_allclose(circuit.values[: rows * 5].reshape(rows, 5), outputs.detach().numpy(), atol=2e-6)

    errors = torch.tensor(rng.normal(size=(rows, 5)).astype("f4"))
    outputs.backward(errors)
    circuit.errors[: rows * 5] = errors.numpy().ravel()
    gradient = np.full_like(parameters, np.nan)
    circuit_backward(circuit, parameters, gradient, rows)
    for name, place in places.items():
        assert gradient[place] == pytest.approx(float(actor.synapses[name].grad), rel=1e-4, abs=1e-3), name
    assert np.isnan(gradient[:3]).all()
