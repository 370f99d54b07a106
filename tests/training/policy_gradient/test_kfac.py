"""K-FAC's step is that of the dense Fisher matrix, on networks for which a Kronecker product is exact."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from rllib_integration.training.policy_gradient.kfac import KFAC
from tests.known import present

DAMPING = 0.05


def linear_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, bias=False), nn.Linear(2, 2))


def convolutional_network() -> nn.Sequential:
    """Outputs at 2 x 2 places; the convolution before it sees the whole picture for each of them."""
    return nn.Sequential(nn.Conv2d(2, 3, 2, stride=2), nn.Conv2d(3, 2, 1))


def observe_gaussian(optimizer: KFAC, network: nn.Module, inputs: torch.Tensor, noise: torch.Tensor) -> None:
    """Statistics of a Gaussian likelihood of the outputs, each drawn `noise` off its mean."""
    with optimizer.observe(len(inputs)):
        outputs = network(inputs)
        drawn = (outputs + noise).detach()
        (0.5 * (outputs - drawn) ** 2).flatten(1).sum(1).mean().backward()


def dense_step(network: nn.Module, layer: nn.Module, inputs: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
    """The damped natural gradient of one layer, by its dense Fisher matrix: the mean of J^T J over the inputs."""
    weights = list(layer.parameters())
    fisher = torch.zeros(())
    for one in inputs:
        outputs = network(one[None]).flatten()
        rows = [
            torch.cat([part.flatten() for part in torch.autograd.grad(output, weights, retain_graph=True)])
            for output in outputs
        ]
        jacobian = torch.stack(rows)
        fisher = fisher + jacobian.T @ jacobian / len(inputs)
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, weights, retain_graph=True)])
    return torch.linalg.solve(fisher + DAMPING * torch.eye(len(gradient)), gradient)


def whitened_noise(samples: int, outputs: int) -> torch.Tensor:
    """`(samples, outputs)` of mean 0 whose second moments are exactly 1 and 0."""
    signs = torch.stack([torch.eye(outputs), -torch.eye(outputs)]).flatten(0, 1) * math.sqrt(outputs)
    return signs.repeat(samples // len(signs), 1)


@pytest.mark.parametrize("kind", ["linear", "convolutional"])
def test_each_layers_step_is_that_of_its_dense_fisher_matrix(kind: str) -> None:
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    shape: tuple[int, ...]
    try:
        if kind == "linear":
            network, inputs, outputs, shape = linear_network(), torch.randn(5, 4), 2, (2,)
        else:
            # One place is seen at a time, so that no place's gradient goes along with another's.
            network, inputs, outputs, shape = convolutional_network(), torch.randn(5, 2, 4, 4), 8, (2, 2, 2)
        before = [weights.detach().clone() for weights in network.parameters()]
        optimizer = KFAC(network, lr=1.0, kl_clip=math.inf, momentum=0.0, damping=DAMPING)
        # Every input is seen with every noise, as if the mean were taken over all of them.
        noise = whitened_noise(2 * outputs, outputs)
        repeated = inputs.repeat_interleave(len(noise), 0)
        observe_gaussian(optimizer, network, repeated, noise.repeat(len(inputs), 1).view(-1, *shape))
        target = torch.randn(5, *shape)
        loss = ((network(inputs) - target) ** 2).mean()
        expected = [dense_step(network, layer, inputs, loss) for layer in network]
        loss.backward()
        optimizer.step()
        steps = [old - new for old, new in zip(before, network.parameters(), strict=True)]
        sizes = [len(list(layer.parameters())) for layer in network]
        begin = 0
        for size, wanted in zip(sizes, expected, strict=True):
            found = torch.cat([step.flatten() for step in steps[begin : begin + size]]).detach()
            begin += size
            assert found == pytest.approx(wanted.detach().numpy(), rel=1e-6, abs=1e-9)
    finally:
        torch.set_default_dtype(torch.float32)


def policy_network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3))


def observe_policy(optimizer: KFAC, network: nn.Module, pictures: torch.Tensor) -> None:
    with optimizer.observe(len(pictures)):
        policy = torch.distributions.Categorical(logits=network(pictures))
        (-policy.log_prob(policy.sample()).mean()).backward()


def test_a_step_changes_the_policy_no_more_than_the_trust_region_allows() -> None:
    torch.manual_seed(2)
    network, pictures = policy_network(), torch.randn(400, 1, 4, 4)
    changes = []
    for kl_clip in (0.001, 0.004):
        optimizer = KFAC(network, lr=10.0, kl_clip=kl_clip, momentum=0.0)
        before = [weights.detach().clone() for weights in network.parameters()]
        old = torch.distributions.Categorical(logits=network(pictures).detach())
        observe_policy(optimizer, network, pictures)
        torch.distributions.Categorical(logits=network(pictures)).log_prob(torch.zeros(400)).mean().backward()
        optimizer.step()
        new = torch.distributions.Categorical(logits=network(pictures).detach())
        changes.append(float(torch.distributions.kl_divergence(old, new).mean()))
        assert 0.1 * kl_clip < changes[-1] < 2.0 * kl_clip
        for weights, value in zip(network.parameters(), before, strict=True):
            weights.data.copy_(value)
            weights.grad = None
    assert changes[1] == pytest.approx(4.0 * changes[0], rel=0.5)


def test_a_policy_that_changes_as_much_gains_more_along_its_direction_than_along_the_gradient() -> None:
    torch.manual_seed(3)
    network, pictures = policy_network(), torch.randn(300, 1, 4, 4) * torch.logspace(-1.0, 1.0, 16).view(4, 4)
    weights = list(network.parameters())
    optimizer = KFAC(network, lr=1.0, kl_clip=math.inf, momentum=0.0, damping=0.001)
    observe_policy(optimizer, network, pictures.repeat(20, 1, 1, 1))
    logits = network(pictures)
    scores = []
    likely = logits.softmax(1).detach()
    for sample, action in itertools.product(range(len(pictures)), range(3)):
        score = torch.autograd.grad(logits.log_softmax(1)[sample, action], weights, retain_graph=True)
        row = torch.cat([part.flatten() for part in score])
        scores.append(row * math.sqrt(float(likely[sample, action]) / len(pictures)))
    advantages = torch.randn(logits.shape)
    (-(advantages * logits.log_softmax(1)).mean()).backward()
    plain = torch.cat([present(part.grad).flatten() for part in weights])
    before = [part.detach().clone() for part in weights]
    optimizer.step()
    step = torch.cat([(old - new.detach()).flatten() for old, new in zip(before, weights, strict=True)])

    def gain(direction: torch.Tensor) -> float:
        """Decrease of the loss for a change of the policy by a Fisher distance of 1."""
        return float(plain @ direction / (torch.stack(scores) @ direction).norm())

    assert gain(step) > 1.5 * gain(plain)


def test_a_restored_optimizer_makes_the_same_steps() -> None:
    torch.manual_seed(4)
    pictures = torch.randn(30, 1, 4, 4)
    first, second = policy_network(), policy_network()
    original = KFAC(first, eigen_every=3)

    def step(network: nn.Module, optimizer: KFAC, seed: int) -> None:
        torch.manual_seed(seed)
        observe_policy(optimizer, network, pictures)
        optimizer.zero_grad()
        network(pictures)[:, 0].mean().backward()
        optimizer.step()

    for seed in range(4):
        step(first, original, seed)
    second.load_state_dict(first.state_dict())
    restored = KFAC(second, eigen_every=3)
    restored.load_state_dict(copy.deepcopy(original.state_dict()))
    for seed in range(4):
        step(first, original, 9 + seed)
        step(second, restored, 9 + seed)
    for weights, other in zip(first.parameters(), second.parameters(), strict=True):
        assert weights.equal(other)


def test_layers_that_it_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="in groups"):
        KFAC(nn.Conv2d(4, 4, 3, groups=2))
