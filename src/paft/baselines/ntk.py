"""The empirical neural tangent kernel of a random ReLU network, and the Gaussian process that has it as kernel.

The kernel of two inputs is the inner product of the gradients that the network's output has there with respect to all
its parameters (Jacot et al., 2018). Weights and biases are drawn from N(0, 1) and never trained.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from paft.errors import RunError

JITTERS = (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4)  # of the mean of the kernel's diagonal


class RandomNetwork:
    """A network of ReLU layers with one output, float64, as a function of one vector of all its parameters.

    Args:
        inputs: dimensions of an input.
        generator: draws the parameters from N(0, 1).
        depth: hidden layers.
        width: units of each.

    Attributes:
        parameters_w: weight and bias of the first layer, row by row, then of the next.
    """

    def __init__(self, inputs: int, generator: torch.Generator, depth: int = 2, width: int = 32) -> None:
        sizes = [inputs, *[width] * depth, 1]
        self.shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        self._lengths = [length for out, into in self.shapes for length in (out * into, out)]
        self.parameters_w = torch.randn(sum(self._lengths), generator=generator, dtype=torch.float64)

    def output(self, parameters_w: Tensor, x_d: Tensor) -> Tensor:
        """The output at one input: a scalar."""
        parts = parameters_w.split(self._lengths)
        for layer, shape in enumerate(self.shapes):
            x_d = parts[2 * layer].view(shape) @ (torch.relu(x_d) if layer else x_d) + parts[2 * layer + 1]
        return x_d[0]

    def jacobian(self, x_nd: Tensor) -> Tensor:
        """Gradient of the output by all parameters at every input: inputs x parameters; differentiable by ``x_nd``."""
        return vmap(jacrev(self.output), (None, 0))(self.parameters_w, x_nd)


def empirical_ntk(network: RandomNetwork, a_nd: Tensor, b_md: Tensor) -> Tensor:
    """The kernel between two sets of inputs: n x m."""
    return network.jacobian(a_nd) @ network.jacobian(b_md).T


class GaussianProcess:
    """The posterior of a zero-mean Gaussian process with the empirical NTK as its kernel, after some observations.

    Args:
        network: makes the kernel.
        x_nd: where it was observed, float64.
        y_n: what was observed there.
        noise: standard deviation of the noise of an observation.

    Attributes:
        jitter: what had to be added to the kernel's diagonal, besides the noise, to factor it; mostly 0.

    Raises:
        RunError: the kernel matrix cannot be factored even with jitter.
    """

    def __init__(self, network: RandomNetwork, x_nd: Tensor, y_n: Tensor, noise: float = 0.01) -> None:
        self.network = network
        self._jacobian_nw = network.jacobian(x_nd)
        self._factor_nn, self.jitter = _factor(self._jacobian_nw @ self._jacobian_nw.T, noise**2)
        solved_n = torch.cholesky_solve(y_n[:, None], self._factor_nn)[:, 0]
        self._slope_w = self._jacobian_nw.T @ solved_n

    def mean(self, x_nd: Tensor) -> Tensor:
        """Posterior mean at every input, differentiable by ``x_nd``."""
        return self.network.jacobian(x_nd) @ self._slope_w

    def variance(self, x_nd: Tensor) -> Tensor:
        """Posterior variance of the function at every input, without the noise of an observation."""
        return self._variance(self.network.jacobian(x_nd))

    def look(self, x_d: Tensor) -> tuple[Tensor, float]:
        """At one input: the gradient of minus the posterior mean, and the posterior variance."""
        x_d = x_d.detach().clone().requires_grad_()
        here_1w = self.network.jacobian(x_d[None])
        (gradient_d,) = torch.autograd.grad(-(here_1w @ self._slope_w)[0], x_d)
        return gradient_d, float(self._variance(here_1w.detach()))

    def _variance(self, here_nw: Tensor) -> Tensor:
        known = torch.linalg.solve_triangular(self._factor_nn, self._jacobian_nw @ here_nw.T, upper=False)
        return (here_nw.square().sum(1) - known.square().sum(0)).clamp(min=0)


def _factor(kernel_nn: Tensor, noise_variance: float) -> tuple[Tensor, float]:
    """Lower Cholesky factor of the kernel plus noise, and the jitter that it took, tried from small to large."""
    scale = float(kernel_nn.diagonal().mean())
    eye = torch.eye(len(kernel_nn), dtype=kernel_nn.dtype)
    for jitter in JITTERS:
        factor, failed = torch.linalg.cholesky_ex(kernel_nn + (noise_variance + jitter * scale) * eye)
        if not failed and bool(factor.isfinite().all()):
            return factor, jitter * scale
    raise RunError(f"the kernel of {len(kernel_nn)} prompts cannot be factored; check their embeddings")
