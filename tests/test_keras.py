"""fastmlp's optimizers beside Keras's: 20 updates from the same weights by the same gradients.

Keras runs in another process, on its NumPy backend: which backend it has can be chosen only once in a process. That one
computes in float32, whatever the variables are.
"""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastmlp as fm

pytestmark = pytest.mark.torch  # with the other peers
if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed: pip install '.[bench-peers]'", allow_module_level=True)

# Adam and its kin: Keras adds epsilon to the root before the bias correction, so it is small here.
OPTIMIZERS = {
    "SGD(0.1)": fm.SGD(0.1),
    "SGD(0.1, momentum=0.9)": fm.SGD(0.1, momentum=0.9),
    "SGD(0.1, momentum=0.9, nesterov=True)": fm.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop(0.01, epsilon=1e-6)": fm.RMSprop(0.01, epsilon=1e-6, epsilon_in_root=True),
    "RMSprop(0.01, centered=True, epsilon=1e-6)": fm.RMSprop(0.01, centered=True, epsilon=1e-6, epsilon_in_root=True),
    "Adagrad(0.1, epsilon=1e-3)": fm.Adagrad(0.1, epsilon=1e-3, epsilon_in_root=True),
    "Adam(0.01, epsilon=1e-15)": fm.Adam(0.01, epsilon=1e-15),
    "Adam(0.01, epsilon=1e-15, amsgrad=True, beta_2=0.9)": fm.Adam(0.01, epsilon=1e-15, amsgrad=True, beta_2=0.9),
    "AdamW(0.01, epsilon=1e-15)": fm.AdamW(0.01, epsilon=1e-15),
    "Nadam(0.01, epsilon=1e-7)": fm.Nadam(0.01, epsilon=1e-7),
    "Lion(0.01)": fm.Lion(0.01),
    "Lion(0.01, weight_decay=0.1)": fm.Lion(0.01, weight_decay=0.1),
    "SGD(0.1, momentum=0.9, weight_decay=0.1)": fm.SGD(0.1, momentum=0.9, weight_decay=0.1),
    "SGD(0.1, global_clipnorm=1.5)": fm.SGD(0.1, global_clipnorm=1.5),
    "SGD(0.1, clipvalue=0.5)": fm.SGD(0.1, clipvalue=0.5),
    "Nadam(0.01, gradient_accumulation_steps=3)": fm.Nadam(0.01, gradient_accumulation_steps=3),
    "SGD(0.1, use_ema=True, ema_momentum=0.8)": fm.SGD(0.1, use_ema=True, ema_momentum=0.8),
}  # fmt: skip

SCRIPT = """
import json, sys
import keras
import numpy as np

given = json.load(sys.stdin)
found = {}
for name in given["optimizers"]:
    optimizer = eval("keras.optimizers." + name)
    variables = [keras.Variable(np.array(w)) for w in given["weights"]]
    for gradients in given["gradients"]:
        optimizer.apply([np.array(g) for g in gradients], variables)
    averages = optimizer._model_variables_moving_average if optimizer.use_ema else variables
    found[name] = [[np.asarray(v.value).tolist() for v in kept] for kept in (variables, averages)]
W = np.array(given["weights"][0])
found["penalty"] = float(keras.regularizers.L1L2(0.03, 0.2)(W))
found["max norm"] = np.asarray(keras.constraints.MaxNorm(0.9)(W)).tolist()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    shapes = (4, 3), (3,)
    return [rng.standard_normal(s) for s in shapes], [[rng.standard_normal(s) for s in shapes] for _ in range(20)]


@pytest.fixture(scope="module")
def keras(given):
    """What Keras makes of them."""
    weights, gradients = given
    message = {
        "optimizers": list(OPTIMIZERS), "weights": [w.tolist() for w in weights],
        "gradients": [[g.tolist() for g in pair] for pair in gradients],
    }  # fmt: skip
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=json.dumps(message), env=environment, check=True,
                          capture_output=True, text=True, timeout=200)  # fmt: skip
    return json.loads(done.stdout)


def model_with(weights, optimizer="sgd", **options):
    model = fm.Model([fm.Dense(3, **options)], optimizer=optimizer, n_inputs=4, dtype="float64")
    model.weights = [weights]
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_keras(name, given, keras):
    weights, gradients = given
    model = model_with(weights, OPTIMIZERS[name])
    for pair in gradients:
        model.apply_gradients([pair])
    trained, averages = keras[name]
    for found, expected in zip(model.weights[0], trained, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    for found, expected in zip((model.average_weights or model.weights)[0], averages, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_penalties_and_max_norm_are_those_of_keras(given, keras):
    weights, _ = given
    X, y = np.zeros((1, 4)), weights[1][None]  # the bias alone predicts it: the loss is the penalty
    assert model_with(weights, l1=0.03, l2=0.2).evaluate(X, y)["loss"] == pytest.approx(keras["penalty"], rel=1e-6)
    model = model_with(weights, max_norm=0.9)
    model.apply_gradients([[np.zeros((4, 3)), np.zeros(3)]])
    np.testing.assert_allclose(model.weights[0][0], keras["max norm"], rtol=0, atol=1e-6)  # which adds 1e-7 to norms
