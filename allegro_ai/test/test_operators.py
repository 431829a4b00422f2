"""Every operator that a policy may use gives in numpy and in torch what ONNX Runtime gives, or is refused by name."""

import math

import numpy as np
import pytest
from allegro_ai.backends import BACKENDS, GraphSpec
from allegro_ai.backends.numpy_graph import MAKERS
from allegro_ai.backends.numpy_layers import erf
from allegro_ai.graph import ALLOWED_OPS
from allegro_description.errors import BundleError
from onnx import helper, load_model_from_string
from operator_cases import CASES, model_of, one

QUANTISED = {'QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear', 'MatMulInteger', 'QLinearMatMul',
             'QLinearConv', 'ConvInteger'}


def evaluate(backend: str, model: bytes) -> dict[str, np.ndarray]:
    proto = load_model_from_string(model).graph
    shape = [d.dim_value for d in proto.input[0].type.tensor_type.shape.dim]
    given = {'x': np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)}
    given['x'].flat[::3] *= 2
    engine = BACKENDS.load(backend)(model, GraphSpec({'x': tuple(shape)}, {o.name: () for o in proto.output}))
    before = given['x'].copy()
    result = engine.run(given)
    np.testing.assert_array_equal(given['x'], before)
    return result


def test_every_allowed_operator_has_a_case_and_numpy_knows_it():
    assert {name.split()[0] for name in CASES} == ALLOWED_OPS == set(MAKERS)


@pytest.mark.parametrize('backend', ['numpy', 'torch'])
@pytest.mark.parametrize('name', CASES)
def test_operators_agree_with_onnx_runtime(backend, name):
    if backend == 'torch' and name.split()[0] in QUANTISED:
        with pytest.raises(BundleError, match=name.split()[0]):
            evaluate(backend, CASES[name])
        return
    expected, found = evaluate('onnxruntime', CASES[name]), evaluate(backend, CASES[name])
    assert set(found) == set(expected)
    for output in expected:
        assert found[output].shape == expected[output].shape
        np.testing.assert_allclose(found[output], expected[output], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize('backend', ['numpy', 'torch'])
@pytest.mark.parametrize(('model', 'what'), [
    (one('MaxPool', shape=(1, 1, 5), kernel_shape=[2], strides=[2], ceil_mode=1), 'ceil_mode'),
    (one('LSTM', (1, 20, 4), (1, 20, 5), shape=(3, 2, 4), hidden_size=5, outputs=3, input_forget=1), 'input_forget'),
    (model_of([helper.make_node('Hardmax', ['x'], ['y'])], {'x': [2, 2]}, {'y': [2, 2]}), 'Hardmax'),
], ids=['attribute', 'layer', 'operator'])
def test_what_is_not_covered_is_named(backend, model, what):
    with pytest.raises(BundleError, match=what):
        evaluate(backend, model)


def test_erf_is_the_real_one():
    x = np.linspace(-8, 8, 1001)
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], atol=1e-9)
    assert np.isnan(erf(np.float32([np.nan]))[0])
