"""Rotations agree with scipy's and follow AlphaFold's algorithms 21 and 23."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from sciml.nn.frames import rotation_from_quaternion, rotation_from_two


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def test_quaternions_agree_with_scipy():
    rotations = Rotation.random(12, random_state=0)
    matrices = torch.as_tensor(rotations.as_matrix()).view(3, 4, 3, 3)
    # scipy writes (x, y, z, w)
    quaternions = torch.as_tensor(rotations.as_quat()).roll(1, -1).view(3, 4, 4)
    for factor in (1.0, 3.7, -0.2):  # of any length, and of either sign
        close(rotation_from_quaternion(quaternions * factor), matrices)


@pytest.mark.parametrize("axis", [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (0.6, 0.0, -0.8)])
def test_half_turns_are_exact(axis):
    rotation = torch.as_tensor(
        Rotation.from_rotvec(torch.pi * torch.tensor(axis, dtype=torch.float64)).as_matrix()
    )
    close(rotation_from_quaternion(torch.tensor([0.0, *axis], dtype=torch.float64)), rotation)


def test_algorithm_21_three_points():
    torch.manual_seed(0)
    n, ca, c = torch.randn(3, 6, 3).double()
    rotation = rotation_from_two(c - ca, n - ca)
    close(rotation.mT @ rotation, torch.eye(3).double().expand(6, 3, 3), 1e-10)
    close(torch.linalg.det(rotation), torch.ones(6).double(), 1e-10)
    local_c, local_n = (((x - ca).unsqueeze(1) @ rotation).squeeze(1) for x in (c, n))
    close(local_c[:, 1:], torch.zeros(6, 2).double(), 1e-10)  # on the x axis
    assert (local_c[:, 0] > 0).all() and (local_n[:, 1] > 0).all()
    close(local_n[:, 2], torch.zeros(6).double(), 1e-10)  # in the xy plane
    # Moving the points moves the frames.
    turn = torch.as_tensor(Rotation.random(random_state=1).as_matrix())
    n, ca, c = ((p @ turn.T + 1.5) for p in (n, ca, c))
    close(rotation_from_two(c - ca, n - ca), turn @ rotation, 1e-10)


def test_points_on_a_line_stay_finite():
    p = torch.zeros(2, 3).requires_grad_()
    rotation = rotation_from_two((p + 2.0) - (p + 1.0), p - (p + 1.0))
    assert rotation.isfinite().all()
    rotation.sum().backward()
    assert p.grad is not None and p.grad.isfinite().all()
    assert rotation_from_two(torch.zeros(3), torch.zeros(3)).isfinite().all()


def test_algorithm_23_update():
    """The update's quaternion is (1, b, c, d), not normalised: small numbers, a small motion."""
    close(rotation_from_quaternion(torch.tensor([1.0, 0, 0, 0])), torch.eye(3))
    update = torch.tensor([1.0, 0.1, -0.2, 0.3], dtype=torch.float64)
    theirs = Rotation.from_quat([0.1, -0.2, 0.3, 1.0]).as_matrix()
    close(rotation_from_quaternion(update), torch.as_tensor(theirs))


def test_gradients():
    torch.manual_seed(0)
    first, second = (torch.randn(2, 3).double().requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(rotation_from_two, (first, second), atol=1e-6)
    quaternion = torch.randn(2, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(rotation_from_quaternion, (quaternion,), atol=1e-6)
