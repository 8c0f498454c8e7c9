"""`JetTagger`: jets in, class probabilities out, in input order and bounded memory.

    tagger = JetTagger.from_pretrained("jets-tiny")
    scores = tagger.predict("events.root")          # float32 [jets, classes]
    tagger.classes                                  # ("QCD", "Hbb", ...)

A tagger is a network from raw jets to logits: an embedder, any trunk and a head, or one of the
published networks with its own weights (`from_weaver`).
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sciml.config import Range, from_dict
from sciml.errors import InputError
from sciml.jets.data.columns import CLASSES, JET_COLUMNS, POSITION
from sciml.jets.data.features import FEATURE_SETS, MAX_PARTICLES, Jets, needed_columns
from sciml.jets.data.ragged import dense, to_ragged
from sciml.jets.networks.classifier import TrunkNetwork, WeaverNetwork
from sciml.jets.networks.regression import masses
from sciml.jets.tally import Tally

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from sciml.jets.data.sample import JetSample
    from sciml.trunks.base import Trunk

STEP = 2000
"""Jets read at a time."""
PAIRS = 1 << 19
"""Most pairs of particles (jets x longest^2) that one pass of the network sees."""


@dataclasses.dataclass
class Scores:
    """What a tagger says of n jets, in input order.

    probabilities: [n, classes] float32 (of a mass regression: GeV), NaN for a faulty jet.
    flags: [n] int64, `features.Flag` bits; 0 = a good jet.
    cut: [n] int64, constituents beyond the limit that were left out.
    dropped: [n] int64, candidates without momentum that were left out.
    repaired: [n] int64, values made usable (`sciml.jets.data.tidy`).
    """

    probabilities: np.ndarray
    flags: np.ndarray
    cut: np.ndarray
    dropped: np.ndarray
    repaired: np.ndarray


@dataclasses.dataclass(frozen=True)
class Description:
    """What the header of a tagger's file says of it."""

    kind: Literal["trunk", "weaver"]
    """On a trunk, or a published network."""
    network: dict[str, Any]
    """What its `settings()` gave."""
    classes: tuple[str, ...]
    """Names of the outputs."""
    limit: Annotated[int, Range(min=1, max=100_000)]
    """Constituents used of a jet."""
    answer: Literal["classes", "mass"] = "classes"
    """Probabilities of classes, or masses."""

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise InputError("`classes` must be names, each once")


class JetTagger(nn.Module):
    """See the module's docstring.

    Args:
        network: raw batch -> logits [B, classes], with `features` and `settings()`.
        classes: names of the classes, in the order of the logits.
        limit: constituents used of a jet, the leading ones in pT.
        answer: "classes", or "mass" for a network that gives masses (`networks.regression`);
            `classes` are then the names of its outputs.
    """

    temperature: Tensor

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        limit: int = MAX_PARTICLES,
        answer: Literal["classes", "mass"] = "classes",
    ) -> None:
        super().__init__()
        self.network, self.classes, self.limit = network, tuple(classes), limit
        self.answer = answer
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, batch: Data) -> Tensor:
        """Raw batch -> calibrated logits [B, classes]; their softmax is what `predict` gives."""
        return self.network(batch) / self.temperature

    def calibrate(self, sample: JetSample) -> float:
        """Set the temperature that fits labelled jets best, which training has not seen.

        One number divides all logits (Guo et al. 2017, arXiv:1706.04599): probabilities become as
        sure as they are right, and which class is the likeliest stays as it was.

        Args:
            sample: jets labelled with this tagger's classes.

        Returns:
            the temperature.

        Raises:
            InputError: other classes, or a tagger of masses.
        """
        if self.answer != "classes" or tuple(sample.classes) != self.classes:
            raise InputError(
                f"the jets have the classes {list(sample.classes)}, the tagger {list(self.classes)}"
            )
        return self.fit_temperature(self.probabilities_of(sample), sample.y)

    def fit_temperature(self, probabilities: np.ndarray, labels: np.ndarray) -> float:
        """`calibrate` from probabilities [n, classes] that this tagger gave."""
        from sciml.jets.metrics import best_temperature

        good = np.isfinite(probabilities).all(1)
        with np.errstate(divide="ignore"):
            logits = np.log(np.maximum(probabilities[good].astype(np.float64), 1e-30))
        self.temperature *= best_temperature(logits, labels[good])
        return float(self.temperature)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns that `sciml jets tag` writes."""
        classes = self.answer == "classes"
        return tuple(f"score_{name}" if classes else name for name in self.classes)

    # ---- prediction -----------------------------------------------------------------------------

    def predict(
        self,
        events: Any,
        *,
        format: str | None = None,
        tree: str | None = None,
        collection: str | None = None,
    ) -> np.ndarray:
        """Class probabilities of jets.

        Args:
            events: awkward record array or mapping of columns (JetClass names), the path of a file
                or folder that `sciml.jets.data.io.open_jets` reads, or an open TTree or RNTuple.
            format: of the file, where its content leaves doubts.
            tree: of the file, if it has several.
            collection: of jets in a file of events (nanoAOD: Jet, Delphes: JetAK8).

        Returns:
            float32 [jets, classes], in input order; NaN for faulty jets (`tag` says which fault).
            A warning counts jets with more than `limit` constituents, candidates without momentum
            that were left out, and values that were repaired (`sciml.jets.data.tidy`).

        Raises:
            InputError: an unreadable file, something that holds no jets, a missing column, or lists
                of different lengths.
        """
        return self.tag(events, format=format, tree=tree, collection=collection).probabilities

    def tag(
        self,
        events: Any,
        *,
        format: str | None = None,
        tree: str | None = None,
        collection: str | None = None,
    ) -> Scores:
        """`predict` with the flags and the number of constituents left out."""
        pieces = self.stream(events, format=format, tree=tree, collection=collection)
        parts = [scores for _, scores in pieces]
        merged = Scores(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in dataclasses.fields(Scores)
            )
        )
        tally = Tally(self.limit)
        tally.add(merged)
        for message in tally.remarks():
            warnings.warn(message, stacklevel=2)
        return merged

    def stream(
        self,
        events: Any,
        *,
        keep: Sequence[str] = (),
        step: int = STEP,
        format: str | None = None,
        tree: str | None = None,
        collection: str | None = None,
    ) -> Iterator[tuple[Any, Scores]]:
        """Scores in pieces of at most `step` jets, each with its events (columns read and `keep`).

        Where there are no jets, one piece without rows has the columns and their types.

        Raises:
            InputError: as for `predict`.
        """
        from sciml.jets.data.given import batches

        where = events if isinstance(events, str | os.PathLike) else None
        for array in batches(
            events, self.columns_of,
            keep=keep, step=step, format=format, tree=tree, collection=collection,
        ):  # fmt: skip
            yield array, self.tag_array(array, where=where)

    def columns_of(self, available: Sequence[str]) -> list[str]:
        """The columns to read from a file that has `available`."""
        derivable = {*POSITION, *JET_COLUMNS}
        needed = needed_columns(FEATURE_SETS[self._features()])
        names = [n for n in needed if n in available or n not in derivable]
        if len(names) < len(needed):
            names += [n for n in ("jet_eta", "jet_phi") if n in available]
        return names

    def tag_array(self, events: Any, where: object = None) -> Scores:
        """Scores of an awkward array of jets that fits into memory."""
        columns = FEATURE_SETS[self._features()]
        packed = to_ragged(events, features=columns, limit=self.limit, where=where)
        probabilities = self.probabilities(dense(packed))
        return Scores(probabilities, packed.flags, packed.cut, packed.dropped, packed.repaired)

    def probabilities(self, jets: Jets) -> np.ndarray:
        """[B, classes] float32 of padded jets; NaN where a jet is flagged."""
        out = np.full((len(jets), len(self.classes)), np.nan, np.float32)
        good = (jets.flags == 0).nonzero()[:, 0]
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            for rows in self._passes(jets.lengths[good]):
                picked = good[rows]
                logits = self(self._batch(jets[picked])).float()
                values = logits.softmax(-1) if self.answer == "classes" else masses(logits)
                out[picked.numpy()] = values.cpu().numpy()
        self.train(was_training)
        return out

    def probabilities_of(self, sample: JetSample, step: int = STEP) -> np.ndarray:
        """`probabilities` of a sample in memory, [n, classes] float32."""
        parts = [
            self.probabilities(sample.subset(range(start, min(start + step, len(sample)))).dense())
            for start in range(0, len(sample), step)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)

    @staticmethod
    def _passes(lengths: Tensor) -> Iterator[Tensor]:
        """Rows in passes of like length and at most `PAIRS` pairs."""
        order = torch.argsort(lengths, stable=True)
        sizes = lengths[order].clamp(min=16)
        start = 0
        while start < len(order):
            # lengths ascend: the last row of a pass is its longest
            count = torch.arange(1, len(order) - start + 1)
            fits = count * sizes[start:].square() <= PAIRS
            stop = start + max(1, int(fits.long().cumprod(0).sum()))
            yield order[start:stop]
            start = stop

    def _batch(self, jets: Jets) -> Data:
        from sciml.jets.networks.embedder import raw_batch

        return raw_batch(jets.to(self.temperature.device))

    def _features(self) -> str:
        return self.network.features  # type: ignore[return-value]

    # ---- weights --------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        trunk: Any,
        classes: Sequence[str] = CLASSES,
        *,
        features: str = "full",
        limit: int = MAX_PARTICLES,
    ) -> JetTagger:
        """A tagger with fresh weights.

        Args:
            trunk: a name, a mapping with `name`, or a config; see `sciml.trunks.build`.
            classes: names of the classes.
            features: "full", "kinpid" or "kin".
            limit: constituents used of a jet.
        """
        from sciml import trunks
        from sciml.jets.networks.embedder import JetEmbedder

        built = trunks.build(trunk)
        embedder = JetEmbedder(built.dim, built.pair_dim, features)  # type: ignore[arg-type]
        network = TrunkNetwork(embedder, built, nn.Linear(built.dim, len(classes)))
        return cls(network, classes, limit)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], trunk: str | type[Trunk] | None = None
    ) -> JetTagger:
        """A shipped model by name, or what `save` wrote, by path; in eval mode on the CPU.

        Args:
            name_or_path: the model.
            trunk: of a model on a trunk of your own, its class or its name (`my_trunk.py:MyTrunk`
                runs that file): the model's file brings no code.

        Raises:
            InputError: no such model or file, or a file of something else, damaged, or larger in
                its description than in its tensors.
        """
        from sciml.weights import files, loading

        description, tensors, path = files.read(
            name_or_path, "jet_tagger", "jet tagger",
            hint="Weights of weaver-core are read by JetTagger.from_weaver",
        )  # fmt: skip
        described = from_dict(Description, description, where=path)

        def make() -> JetTagger:
            names = described.classes
            if described.kind == "weaver":
                if trunk is not None:
                    raise InputError(f"is a published network, not one on the trunk {trunk!r}")
                network: nn.Module = WeaverNetwork.build(described.network, len(names))
            else:
                network = TrunkNetwork.build(described.network, len(names), trunk)
            return cls(network, names, described.limit, described.answer)

        tagger = loading.build(make, tensors, where=path)
        loading.load_state(tagger, tensors, where=path)
        if not float(tagger.temperature) > 0:
            raise InputError(f"has the temperature {float(tagger.temperature)}", where=path)
        return tagger.eval()

    def save(self, path: str | os.PathLike[str], notes: Mapping[str, str] | None = None) -> Path:
        """Write weights and settings as one .safetensors file.

        Args:
            path: the file.
            notes: further text for the file's header (seed, data, command).
        """
        from sciml.weights import files

        if Path(path).suffix != ".safetensors":
            raise InputError("must end in .safetensors", where=path)
        description = {
            "kind": self.network.kind,
            "network": self.network.settings(),  # type: ignore[operator]
            "classes": list(self.classes),
            "limit": self.limit,
            "answer": self.answer,
        }
        return files.write(path, _own(self), "jet_tagger", description, notes=notes)

    @classmethod
    def from_weaver(
        cls,
        path: str | os.PathLike[str],
        *,
        classes: Sequence[str] | None = None,
        neighbours: int | Sequence[int] = 16,
        use_counts: bool = True,
        use_pre_activation_pair: bool = True,
        remove_self_pair: bool = False,
        activation: Literal["gelu", "relu"] = "gelu",
        block_ids_with_attn_mask: Sequence[int] | None = None,
    ) -> JetTagger:
        """A ParticleNet or Particle Transformer from a weaver-core state dict.

        Args:
            path: .pt, .pth (read without running code) or .safetensors.
            classes: names of the outputs; JetClass's ten if there are ten.
            neighbours, use_counts: of ParticleNet, and with the rest what shapes cannot tell; see
                `weaver.checkpoints.build`.
            remove_self_pair, activation, block_ids_with_attn_mask: of the Particle Transformer.
            use_pre_activation_pair: the published JetClass checkpoints of the Particle Transformer
                need False: with weaver's own default (True) they load without complaint and give
                other logits.

        Raises:
            InputError: an unreadable file; unknown, missing or misshapen keys, by name.
        """
        from sciml.jets.weaver import checkpoints as weaver

        network = weaver.build(
            weaver.read_state(path),
            where=path,
            neighbours=neighbours,
            use_counts=use_counts,
            use_pre_activation_pair=use_pre_activation_pair,
            remove_self_pair=remove_self_pair,
            activation=activation,
            block_ids_with_attn_mask=block_ids_with_attn_mask,
        )
        outputs = network.config.classes
        if classes is None:
            classes = CLASSES if outputs == len(CLASSES) else [f"class_{i}" for i in range(outputs)]
        if len(classes) != outputs:
            raise InputError(f"the network has {outputs} outputs, {len(classes)} classes are named")
        return cls(WeaverNetwork(network), classes).eval()

    def to_weaver(self, path: str | os.PathLike[str]) -> None:
        """Write the weights so that weaver-core loads them; see `weaver.checkpoints.write`.

        Raises:
            InputError: the network is none of weaver's.
        """
        from sciml.jets.weaver import checkpoints as weaver

        weaver.write(getattr(self.network, "network", self.network), path)

    def to_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write as ONNX with preprocess.json beside it; see `sciml.jets.onnx.export`."""
        from sciml.jets import onnx

        return onnx.export(self, Path(path))

    def weaver_logits(
        self, points: Tensor | None, features: Tensor, vectors: Tensor | None, mask: Tensor
    ) -> Tensor:
        """Logits [B, C] from tensors laid out as weaver's: [B, c, N], mask [B, 1, N].

        Raises:
            InputError: the network is none of weaver's.
        """
        from sciml.jets.weaver import checkpoints as weaver

        if not isinstance(self.network, WeaverNetwork):
            raise InputError("only a tagger made by from_weaver takes weaver's tensors")
        network: Any = self.network.network
        return weaver.logits(network, points, features, vectors, mask)


def _own(module: nn.Module) -> dict[str, Tensor]:
    """The state dict; tensors that share memory are copied apart, as safetensors demands."""
    return {name: value.clone() for name, value in module.state_dict().items()}
