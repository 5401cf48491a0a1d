"""The kernel against explicit gradients, and the posterior against the textbook formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paft.baselines.ntk import GaussianProcess, RandomNetwork, empirical_ntk
from paft.errors import RunError


def network_and_points(inputs=5, n=7, depth=2, width=8, seed=3):
    generator = torch.Generator().manual_seed(seed)
    network = RandomNetwork(inputs, generator, depth, width)
    return network, torch.rand(n, inputs, generator=generator, dtype=torch.float64)


def modules(network):
    """The same network out of torch.nn's own layers, float64."""
    layers, at = [], 0
    for out, into in network.shapes:
        layer = torch.nn.Linear(into, out, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(network.parameters_w[at : at + out * into].view(out, into))
            layer.bias.copy_(network.parameters_w[at + out * into : at + out * into + out])
        at += out * into + out
        layers += [layer, torch.nn.ReLU()]
    assert at == len(network.parameters_w)
    return torch.nn.Sequential(*layers[:-1])


def explicit_ntk(network, a_nd, b_md):
    """Gradients of one output at a time, by the ordinary autograd of torch.nn."""
    net = modules(network)

    def gradient(x_d):
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(net(x_d)[0], tuple(net.parameters()))])

    return np.array([[float(gradient(a) @ gradient(b)) for b in b_md] for a in a_nd])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_kernel_is_the_product_of_explicit_gradients(depth):
    network, x_nd = network_and_points(depth=depth)
    got = empirical_ntk(network, x_nd[:4], x_nd).numpy()
    np.testing.assert_allclose(got, explicit_ntk(network, x_nd[:4], x_nd), rtol=1e-10)
    assert np.linalg.eigvalsh(empirical_ntk(network, x_nd, x_nd).numpy()).min() > -1e-8


def test_weights_and_biases_are_standard_normal_and_the_defaults_are_two_layers_of_32():
    network = RandomNetwork(500, torch.Generator().manual_seed(0))
    assert network.shapes == [(32, 500), (32, 32), (1, 32)]
    assert float(network.parameters_w.mean()) == pytest.approx(0, abs=0.03)
    assert float(network.parameters_w.std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("noise", [0.01, 1.0, 30.0])
def test_the_posterior_is_the_textbook_formula(noise):
    network, x_nd = network_and_points()
    known, new = x_nd[:5], x_nd[5:]
    y_n = torch.tensor([0.2, 0.4, 0.9, 0.5, 0.1], dtype=torch.float64)
    process = GaussianProcess(network, known, y_n, noise)
    inverse = np.linalg.inv(explicit_ntk(network, known, known) + noise**2 * np.eye(5))
    cross = explicit_ntk(network, new, known)
    np.testing.assert_allclose(process.mean(new).numpy(), cross @ inverse @ y_n.numpy(), rtol=1e-5)
    variance = np.diag(explicit_ntk(network, new, new)) - np.diag(cross @ inverse @ cross.T)
    np.testing.assert_allclose(process.variance(new).numpy(), variance, rtol=1e-5)
    assert process.jitter == 0


def test_the_gradient_is_that_of_minus_the_mean():
    network, x_nd = network_and_points()
    process = GaussianProcess(network, x_nd[:6], torch.linspace(0, 1, 6, dtype=torch.float64), 0.5)
    gradient_d, variance = process.look(x_nd[6])
    step = 1e-6 * torch.eye(5, dtype=torch.float64)
    slope = (process.mean(x_nd[6] + step) - process.mean(x_nd[6] - step)) / 2e-6
    np.testing.assert_allclose(gradient_d.numpy(), -slope.numpy(), rtol=1e-4, atol=1e-6)
    assert variance == pytest.approx(float(process.variance(x_nd[6:])), rel=1e-9)


def test_a_known_point_is_certain_up_to_the_noise():
    network, x_nd = network_and_points()
    process = GaussianProcess(network, x_nd, torch.linspace(0, 1, 7, dtype=torch.float64), 0.01)
    assert float(process.variance(x_nd).max()) <= 0.01**2 * 1.001
    np.testing.assert_allclose(process.mean(x_nd).numpy(), np.linspace(0, 1, 7), atol=1e-3)


def test_a_kernel_that_cannot_be_factored_gets_jitter_or_an_error():
    network, x_nd = network_and_points()
    twice = x_nd[[0, 0, 1, 1, 1]]
    process = GaussianProcess(network, twice, torch.tensor([0.0, 1, 1, 1, 1], dtype=torch.float64), noise=0.0)
    assert process.jitter > 0
    np.testing.assert_allclose(process.mean(x_nd[:2]).numpy(), [0.5, 1.0], atol=0.02)
    with pytest.raises(RunError, match="cannot be factored"):
        GaussianProcess(network, torch.full((2, 5), float("nan"), dtype=torch.float64), torch.ones(2).double())
