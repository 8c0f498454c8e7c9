"""Names of the columns of jets, as JetClass has them, and their indices in the raw tensors.

A column of particles is one list per jet, sorted by falling pT: GeV, mm, charge in e, flags 0/1.
"""

from __future__ import annotations

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
"""Class names in JetClass's order: the order of labels, logits and scores everywhere."""
MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
POSITION = ("part_deta", "part_dphi")
TRACK = ("part_d0val", "part_d0err", "part_dzval", "part_dzerr")
IDENTITY = (
    "part_charge",
    "part_isChargedHadron",
    "part_isNeutralHadron",
    "part_isPhoton",
    "part_isElectron",
    "part_isMuon",
)
COLUMNS = (*MOMENTUM, *POSITION, *TRACK, *IDENTITY)
"""Columns of the raw particle tensor [..., 16], in order."""
PX, PY, PZ, ENERGY, DETA, DPHI, D0, D0_ERROR, DZ, DZ_ERROR, CHARGE = range(11)
CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(11, 16)
FOUR_MOMENTUM, ANGLES, TYPES = slice(PX, DETA), slice(DETA, D0), slice(CHARGED_HADRON, MUON + 1)
"""Slices of the columns (px, py, pz, E), (deta, dphi) and the five flags of particle types."""
JET_COLUMNS = ("jet_pt", "jet_energy")
"""Columns of the raw jet tensor: transverse momentum and energy of the jet, GeV."""
JET_MOMENTUM = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
"""Four-momentum of the jet, of which the positions of particles are measured from the axis."""
HARD_EVENT = "aux_collision"
"""The id of a jet's hard-scatter event, in files of several views of each (`learning.views`);
files may be read together."""
FLAVOURS = ("b", "c", "tau", "light", "gluon")
"""Classes of small-radius jets, in the order of their labels; light: u, d or s."""
ORIGINS = ("pile-up", "primary", "b", "b to c", "c", "tau", "other")
"""Origins of a track by their number in `part_origin`: another collision; the primary vertex; the
decay of a b hadron, of a c hadron from one, of another c hadron, of a tau; a strange hadron."""
TRUTH = ("part_origin", "part_vertex", "aux_truth_pt")
"""Truth of small-radius jets: of each constituent its origin and the number of its vertex in the
jet (0 the primary one), both -1 without a track; of the jet its pT from stable particles [GeV]."""
