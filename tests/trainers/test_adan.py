import adan_pytorch
import torch
from torch import nn

from nnunetv2_ext.trainers.adan import Adan


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU(4), nn.Flatten(), nn.Linear(64, 2)).double()


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[torch.Tensor]:
    trajectory = []
    for step in range(start, start + steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        net(torch.randn(3, 1, 6, 6, dtype=torch.float64)).square().sum().backward()
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 100) ** 0.9  # as the host's schedule does
        optimizer.step()
        trajectory.append(torch.cat([parameter.detach().flatten().clone() for parameter in net.parameters()]))
    return trajectory


def test_fifty_steps_equal_those_of_adan_pytorch():
    ours, reference = network(), network()
    expected = train(reference, adan_pytorch.Adan(reference.parameters(), lr=1e-2, weight_decay=0.02), 50)
    actual = train(ours, Adan(ours.parameters(), lr=1e-2, weight_decay=0.02), 50)
    torch.testing.assert_close(torch.stack(actual), torch.stack(expected), rtol=1e-9, atol=1e-12)


def test_the_first_step_applies_the_weight_decay_alone():
    net = network()
    before = torch.cat([parameter.detach().flatten().clone() for parameter in net.parameters()])
    torch.testing.assert_close(train(net, Adan(net.parameters(), lr=1e-2, weight_decay=0.5), 1)[0], before / (1 + 1e-2 * 0.5))


def test_continues_from_a_saved_state():
    whole, halves = network(), network()
    expected = train(whole, Adan(whole.parameters(), lr=1e-2), 10)[-1]
    first = Adan(halves.parameters(), lr=1e-2)
    train(halves, first, 5)
    second = Adan(halves.parameters(), lr=1e-2)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(train(halves, second, 5, start=5)[-1], expected)
