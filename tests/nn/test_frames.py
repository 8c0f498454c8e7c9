"""Frames form a group, agree with scipy's rotations and follow AlphaFold's algorithms 21, 23."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from sciml.nn.frames import (
    Frames,
    quaternion_from_rotation,
    rotation_from_quaternion,
    rotation_from_two,
    stack,
)


@pytest.fixture
def frames():
    rotation = torch.as_tensor(Rotation.random(12, random_state=0).as_matrix()).view(3, 4, 3, 3)
    return Frames(rotation, torch.randn(3, 4, 3).double())


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def test_composition_inverse_and_identity(frames):
    other = Frames(frames.rotation.flip(0), frames.translation.roll(1, 1))
    x = torch.randn(3, 4, 3).double()
    close(frames.compose(other).apply(x), frames.apply(other.apply(x)))
    close(frames.invert().apply(frames.apply(x)), x)
    close(frames.invert_apply(frames.apply(x)), x)
    unit = Frames.identity((3, 4), torch.float64)
    close(frames.compose(unit).apply(x), frames.apply(x))
    close(frames.compose(frames.invert()).rotation, unit.rotation.contiguous())


def test_points_of_a_frame_and_one_point_each(frames):
    points = torch.randn(3, 4, 7, 3).double()
    moved = frames.apply(points)
    for p in range(7):
        close(moved[:, :, p], frames.apply(points[:, :, p]))
    close(frames.invert_apply(moved), points)


def test_quaternions_agree_with_scipy(frames):
    theirs = torch.as_tensor(Rotation.from_matrix(frames.rotation.reshape(-1, 3, 3)).as_quat())
    theirs = theirs.roll(1, -1).view(3, 4, 4)  # scipy writes (x, y, z, w)
    ours = frames.quaternion()
    close(ours * theirs[..., :1].sign(), theirs * 1.0)
    close(rotation_from_quaternion(ours * 3.7), frames.rotation)


@pytest.mark.parametrize("axis", [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (0.6, 0.0, -0.8)])
def test_half_turns_are_exact(axis):
    rotation = torch.as_tensor(Rotation.from_rotvec(torch.pi * torch.tensor(axis)).as_matrix())
    quaternion = quaternion_from_rotation(rotation)
    close(quaternion.norm(), torch.tensor(1.0).double())
    close(rotation_from_quaternion(quaternion), rotation)


def test_algorithm_21_three_points():
    torch.manual_seed(0)
    n, ca, c = torch.randn(3, 6, 3).double()
    frames = Frames.from_three_points(n, ca, c)
    eye = torch.eye(3).double().expand(6, 3, 3)
    close(frames.rotation.mT @ frames.rotation, eye, 1e-10)
    close(torch.linalg.det(frames.rotation), torch.ones(6).double(), 1e-10)
    close(frames.invert_apply(ca), torch.zeros(6, 3).double())
    local_c, local_n = frames.invert_apply(c), frames.invert_apply(n)
    close(local_c[:, 1:], torch.zeros(6, 2).double(), 1e-10)  # on the x axis
    assert (local_c[:, 0] > 0).all() and (local_n[:, 1] > 0).all()
    close(local_n[:, 2], torch.zeros(6).double(), 1e-10)  # in the xy plane
    # Moving the points moves the frames.
    turn = torch.as_tensor(Rotation.random(random_state=1).as_matrix())
    moved = Frames.from_three_points(*((p @ turn.T + 1.5) for p in (n, ca, c)))
    close(moved.rotation, turn @ frames.rotation, 1e-10)


def test_points_on_a_line_stay_finite():
    p = torch.zeros(2, 3).requires_grad_()
    frames = Frames.from_three_points(p, p + 1.0, p + 2.0)
    assert frames.rotation.isfinite().all()
    frames.rotation.sum().backward()
    assert p.grad is not None and p.grad.isfinite().all()
    assert rotation_from_two(torch.zeros(3), torch.zeros(3)).isfinite().all()


def test_algorithm_23_update():
    close(Frames.from_update(torch.zeros(2, 6)).rotation, torch.eye(3).expand(2, 3, 3))
    update = torch.tensor([[0.1, -0.2, 0.3, 1.0, 2.0, 3.0]], dtype=torch.float64)
    frames = Frames.from_update(update)
    theirs = Rotation.from_quat([0.1, -0.2, 0.3, 1.0]).as_matrix()
    close(frames.rotation[0], torch.as_tensor(theirs))
    close(frames.translation, update[:, 3:])


def test_indexing_scaling_stacking_and_stopping_gradients(frames):
    assert frames[1].shape == (4,) and frames[:, 2].shape == (3,)
    assert frames[..., None].shape == (3, 4, 1) and frames[0, 1].shape == ()
    close(frames.scale(10.0).translation, 10 * frames.translation)
    assert stack([frames, frames], 1).shape == (3, 2, 4)
    assert frames.to(torch.float32).rotation.dtype == torch.float32
    leaf = frames.rotation.clone().requires_grad_()
    assert not Frames(leaf, frames.translation).detach_rotation().rotation.requires_grad


def test_gradients():
    torch.manual_seed(0)
    points = [torch.randn(2, 3).double().requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(
        lambda *p: Frames.from_three_points(*p).quaternion(), points, atol=1e-6
    )
