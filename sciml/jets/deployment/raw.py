"""A tagger that prepares its inputs itself: four-momenta in, class probabilities and flags out.

What `sciml.jets.data.tidy` and `sciml.jets.data.ragged` do in numpy is done here in torch, so that
it can be part of an exported graph: rows without momentum are left out, the leading constituents in
pT are taken, positions are measured from the jet's axis, and faulty jets are flagged and get NaN.

Inputs, with any number of jets B and rows N:
    particles [B, N, C] | GeV, mm | `columns_of(tagger)`, any order of particles; zeros as padding
    jets      [B, 4]    | GeV     | pt, eta, phi, energy; where pt is 0, the sum of the constituents
Outputs:
    probabilities [B, classes] float32, NaN for a faulty jet
    flags         [B] int64, `sciml.jets.data.features.Flag`

Two things are left to files, whose arrays show them: other padding than zeros (-999, NaN), and
energies below the momentum by the rounding of 16-bit numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import InputError
from sciml.jets.data import columns as col
from sciml.jets.data.columns import COLUMNS, JET_MOMENTUM, TRACK
from sciml.jets.data.features import FEATURE_SETS, Flag, needed_columns, wrap_angle
from sciml.jets.data.packing import LARGE, MASS_SHELL
from sciml.jets.data.tidy import NO_TRACK, SATURATED
from sciml.jets.deployment.onnx import example

INPUTS = ("particles", "jets")
OUTPUTS = ("probabilities", "flags")
CHECKED = ((1, 1), (6, 20), (9, 150))
"""Jets and rows of the batches that an exported graph is checked with."""


def columns_of(tagger: Any) -> tuple[str, ...]:
    """Columns of `particles`: those that no other column gives.

    Raises:
        InputError: a network whose inputs are not made of particles alone.
    """
    needed = needed_columns(FEATURE_SETS[tagger.network.features])
    return tuple(n for n in COLUMNS if n in needed and n not in col.POSITION)


class RawTagger(nn.Module):
    """See the module's docstring.

    Args:
        tagger: a `JetTagger` whose network reads particles.
    """

    def __init__(self, tagger: Any) -> None:
        super().__init__()
        self.tagger, self.limit = tagger, tagger.limit
        self.columns = columns_of(tagger)

    def forward(self, particles: Tensor, jets: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N, C], [B, 4] -> probabilities [B, classes], flags [B]."""
        x, jet, mask, flags = self.prepared(particles, jets)
        logits = self.tagger(_batch(x, jet, mask))
        # a masked fill, not a division: a faulty jet must not get a confident answer
        probabilities = logits.float().softmax(-1)
        return probabilities.masked_fill((flags != 0)[:, None], torch.nan), flags

    def prepared(self, particles: Tensor, jets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The raw batch of `sciml.jets.networks.embedder`, and the flags.

        Returns:
            particles [B, N, 16], jets [B, 2], mask [B, N] bool; a faulty jet has no particles.
            flags [B] int64.
        """
        # one more row, so that a batch of jets without particles has an axis to work on
        particles = self._saturated(F.pad(particles, (0, 0, 0, 1)))
        p4 = particles[..., :4]
        nothing = (p4[..., :3] == 0).all(-1) & (p4[..., 3] >= 0)
        mask = ~nothing
        px, py, pz, energy = p4.double().unbind(-1)
        pt2 = px.square() + py.square()
        p = (pt2 + pz.square()).sqrt()

        def any_of(faulty: Tensor) -> Tensor:
            return (faulty & mask).any(1)

        bounded = (p4.abs() <= LARGE).all(-1) & torch.isfinite(particles).all(-1)
        # The four sums in double precision, as numpy has them; rows that count for nothing are 0.
        total = torch.where((mask & bounded)[..., None], p4, 0.0).double().sum(1)
        own = jets[:, :1] == 0
        jet_pt = torch.where(own[:, 0], total[:, :2].square().sum(-1).sqrt(), jets[:, 0].double())
        jet_energy = torch.where(own[:, 0], total[:, 3], jets[:, 3].double())
        # In single precision, in which all else sees them.
        jet = torch.stack([jet_pt, jet_energy], -1).float()
        faults = (
            (Flag.EMPTY, ~mask.any(1)),
            # without pT there is no pseudorapidity, of a particle or of the axis
            (Flag.NOT_FINITE, any_of(~bounded | (pt2 == 0)) | ~torch.isfinite(jets).all(-1)),
            (Flag.ZERO_PT, any_of(pt2 == 0) | (mask.any(1) & (jet[:, 0] <= 0))),
            (
                Flag.ENERGY_BELOW_MOMENTUM,
                any_of(energy < p * (1 - MASS_SHELL)) | (mask.any(1) & (jet[:, 1] <= 0)),
            ),
        )
        flags = torch.stack([bad.long() * int(flag) for flag, bad in faults], -1).sum(-1)
        mask = mask & (flags == 0)[:, None]

        # Harmless values where there is no particle.
        safe = torch.where(mask, pt2, 1.0).sqrt()
        eta = _eta(torch.where(mask, pz, 0.0), safe)
        sums = torch.where((flags == 0)[:, None], total, 1.0)
        sum_pt = sums[:, :2].square().sum(-1).sqrt()
        axis_eta = torch.where(own[:, 0], _eta(sums[:, 2], sum_pt), jets[:, 1].double())
        turn = torch.stack([jets[:, 2].cos(), jets[:, 2].sin()], -1).double()
        axis = torch.where(own, sums[:, :2] / sum_pt[:, None], turn)
        deta = (eta - axis_eta[:, None]) * torch.where(axis_eta < 0, -1.0, 1.0)[:, None]
        # The angle between two directions, and not the difference of two angles: nothing cancels.
        across = axis[:, :1] * py - axis[:, 1:] * px
        along = axis[:, :1] * px + axis[:, 1:] * py
        dphi = wrap_angle(
            torch.atan2(
                torch.where(mask, across, 0.0).float(), torch.where(mask, along, 1.0).float()
            )
        )
        x = self._sixteen(particles, deta.float(), dphi)
        order = torch.where(mask, safe, -1.0).float().sort(dim=1, descending=True)[1]
        if torch.compiler.is_exporting():  # a slice would bind N to one side of the limit
            leading = torch.arange(order.shape[1]) < self.limit
        else:
            order, leading = order[:, : self.limit], torch.ones((), dtype=torch.bool)
        x = x.gather(1, order[..., None].expand(-1, -1, len(COLUMNS)))
        mask = mask.gather(1, order) & leading
        return torch.where(mask[..., None], x, 0.0), jet, mask, flags

    def _saturated(self, particles: Tensor) -> Tensor:
        """Infinite impact parameters become large ones, those without a track 0, as in
        `sciml.jets.data.tidy`."""
        if not (tracks := [n for n in self.columns if n in TRACK]):
            return particles
        first = self.columns.index(tracks[0])
        before, own, after = particles.split(
            [first, len(tracks), len(self.columns) - first - len(tracks)], -1
        )
        large = torch.where(own > 0, SATURATED, -SATURATED)
        if "part_charge" in self.columns:
            charge = particles[..., self.columns.index("part_charge"), None]
            absent = torch.isnan(own) | ((own <= NO_TRACK) & (own.abs() != torch.inf))
            own = torch.where(absent & (charge == 0), 0.0, own)
        own = torch.where(own.abs() == torch.inf, large, own)
        return torch.cat([before, own, after], -1)

    def _sixteen(self, particles: Tensor, deta: Tensor, dphi: Tensor) -> Tensor:
        """All `COLUMNS` [B, N, 16]; zero where the network does not look."""
        derived = dict(zip(col.POSITION, (deta, dphi), strict=True))
        nothing = torch.zeros_like(deta)
        places = {name: i for i, name in enumerate(self.columns)}
        return torch.stack(
            [
                particles[..., places[n]] if n in places else derived.get(n, nothing)
                for n in COLUMNS
            ],
            -1,
        )


def _eta(pz: Tensor, pt: Tensor) -> Tensor:
    """Pseudorapidity, double precision, of operations that ONNX has in it."""
    size = pz.abs()
    value = ((size + (size.square() + pt.square()).sqrt()) / pt).log()
    return torch.where(pz < 0, -value, value)


def _batch(x: Tensor, jet: Tensor, mask: Tensor) -> Any:
    from sciml.graph import Light

    return Light(x=x, jet=jet, mask=mask)


def examples(columns: tuple[str, ...], count: int, particles: int, seed: int = 0) -> list[Tensor]:
    """Made-up inputs [count, particles, C], [count, 4]: ragged, unsorted, with and without an axis,
    an empty jet and faulty ones among many."""
    made = example(count, particles, seed=seed, ragged=True)
    x = made.particles[..., [COLUMNS.index(name) for name in columns]].clone()
    random = torch.Generator().manual_seed(seed + 1)
    turned = 2 * torch.pi * torch.rand(count, 1, generator=random)  # anywhere in azimuth
    px, py = x[..., 0].clone(), x[..., 1].clone()
    x[..., 0], x[..., 1] = (
        px * turned.cos() - py * turned.sin(), px * turned.sin() + py * turned.cos()
    )  # fmt: skip
    x = x[:, torch.randperm(particles, generator=random)]
    jets = torch.zeros(count, len(JET_MOMENTUM))
    jets[::2] = torch.stack(
        [
            made.jets[::2, 0], 0.2 * torch.randn(len(jets[::2]), generator=random),
            wrap_angle(turned[::2, 0] + 0.01), made.jets[::2, 1],
        ],
        -1,
    )  # fmt: skip
    if count > 5:
        x[1] = 0.0
        x[2, 0, 0] = torch.nan
        x[3, 0, :2], x[3, 0, 2:4] = 0.0, 5.0
        x[4, 0, 3] = 0.5 * x[4, 0, :3].square().sum().sqrt() - 1
    return [x, jets]


def checked(tagger: Any, where: object) -> RawTagger:
    """`RawTagger` of a tagger, on the CPU and in evaluation mode.

    Raises:
        InputError: a model that gives masses, or one whose inputs a data config makes.
    """
    from sciml.jets.tagger import JetTagger

    if not isinstance(tagger, JetTagger):
        raise InputError(
            "only a tagger of classes with particles as inputs can be exported so", where=where,
            hint="A model with a data config is exported without --raw, as .onnx",
        )  # fmt: skip
    return RawTagger(tagger.to("cpu").eval()).eval()
