"""Beam search and the published decoder compared: hypothesis-tokens per second, in one process.

    git clone https://github.com/facebookresearch/SymbolicMathematics OFFICIAL
    python benchmarks/symbolic_decode.py OFFICIAL --dims 512 1024

The published transformer (6 + 6 layers, 8 heads, random weights) is timed with its own code. This
package decodes the same weights (`from_symbolicmathematics`), its own trunk of the same depth and
width, its trunk with the same number of parameters in a deep encoder and a shallow decoder, and the
shipped model. All run on one thread, in turn, measured in CPU seconds, so that other work on the
machine matters little. No hypothesis ends early: all write sources x beam x length tokens. Writes
benchmarks/results/symbolic_decode.json; a run adds its widths to what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

from machine import processor

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import torch

from sciml import weights
from sciml.symbolic.neural import vocabulary as vb
from sciml.symbolic.neural.model import Seq2Seq
from sciml.symbolic.neural.official import SymbolicMathematics, from_symbolicmathematics
from sciml.symbolic.neural.official_decoding import beam_search
from sciml.trunks.sequence import Sequence, SequenceConfig

SOURCES, BEAM, SOURCE_LENGTH, LENGTH, WORDS = 4, 10, 64, 64, 91
HEADS, LAYERS = 8, 6
Case = tuple[Callable[[], object], int]
"""(decode once, parameters)."""


class NeverEnd:
    """A grammar that allows the end token at the last position only."""

    def __init__(self, words: int, end: int) -> None:
        self.words, self.end = words, end

    def start(self, hypotheses: int, device: torch.device) -> torch.Tensor:
        return torch.zeros(hypotheses, 1)

    def allowed(self, state: torch.Tensor, remaining: int) -> torch.Tensor:
        fits = torch.ones(len(state), self.words, dtype=torch.bool)
        fits[:, self.end] = remaining == 1
        return fits

    def advance(self, state: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return state

    def paths(self, state: torch.Tensor) -> None:
        return None


def size(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def published(folder: Path, dim: int) -> tuple[Case, SymbolicMathematics]:
    """The published code on random weights, and this package's model of the same weights."""
    sys.path.insert(0, str(folder))
    from src.model.transformer import TransformerModel

    settings = SimpleNamespace(
        n_words=WORDS, eos_index=0, pad_index=1, emb_dim=dim, n_heads=HEADS, n_enc_layers=LAYERS,
        n_dec_layers=LAYERS, dropout=0.0, attention_dropout=0.0, sinusoidal_embeddings=False,
        share_inout_emb=True,
    )  # fmt: skip
    words = {i: str(i) for i in range(WORDS)}
    encoder = TransformerModel(settings, words, is_encoder=True, with_output=False).eval()
    decoder = TransformerModel(settings, words, is_encoder=False, with_output=True).eval()
    decoder.proj.bias.data[:2] = -1e4  # neither the end nor padding
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "published.pth"
        torch.save({"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}, file)
        ours = from_symbolicmathematics(file, heads=HEADS)
    lengths = torch.full((SOURCES,), SOURCE_LENGTH)
    source = torch.randint(2, WORDS, (SOURCES, SOURCE_LENGTH))
    source[:, 0] = source[:, -1] = 0

    @torch.no_grad()
    def decode() -> object:
        memory = encoder("fwd", x=source.T, lengths=lengths, causal=False).transpose(0, 1)
        # Its limit counts the start token.
        return decoder.generate_beam(memory, lengths, BEAM, 1.0, False, max_len=LENGTH + 1)

    return (decode, size(encoder, decoder)), ours


def same_weights(model: SymbolicMathematics) -> Case:
    lengths = torch.full((SOURCES,), SOURCE_LENGTH)
    source = torch.randint(2, WORDS, (SOURCES, SOURCE_LENGTH))
    grammar = NeverEnd(WORDS, 0)
    return lambda: beam_search(model, source, lengths, BEAM, LENGTH, grammar), size(model)


def trunk(dim: int, encoder: int, decoder: int, groups: int) -> Case:
    model = Sequence(SequenceConfig(
        dim=dim, heads=HEADS, groups=groups, encoder_layers=encoder, decoder_layers=decoder,
        vocabulary=WORDS,
    )).eval()  # fmt: skip
    source = torch.randint(3, WORDS, (SOURCES, SOURCE_LENGTH))
    grammar = NeverEnd(WORDS, model.config.end)
    return lambda: model.beam_search(source, BEAM, LENGTH, grammar), size(model)


def shipped(name: str) -> Case:
    model = Seq2Seq.from_pretrained(name, device="cpu")
    source = torch.randint(len(vb.SPECIAL), len(vb.WORDS), (SOURCES, SOURCE_LENGTH))
    grammar = NeverEnd(len(vb.WORDS), vb.END)

    @torch.no_grad()
    def decode() -> object:
        return model.trunk.beam_search(model.encode(source), BEAM, LENGTH, grammar)

    return decode, size(model)


def measure(folder: Path, dim: int, rounds: int, model: str) -> list[dict]:
    """Every case at one width, in turn."""
    torch.manual_seed(0)
    official, ours = published(folder, dim)
    # The layers of the deep and shallow trunk with the number of parameters nearest to theirs.
    deep = min(range(LAYERS, 4 * LAYERS), key=lambda n: abs(trunk_size(dim, n, 2) - official[1]))
    cases: dict[str, Case] = {
        "published code, 6+6 layers": official,
        "sciml, the same weights": same_weights(ours),
        "sciml, own trunk, 6+6 layers, 8 key heads": trunk(dim, LAYERS, LAYERS, HEADS),
        f"sciml, own trunk, {deep}+2 layers, 2 key heads": trunk(dim, deep, 2, 2),
    }
    if model in weights.names() or Path(model).exists():
        cases[f"sciml, {Path(model).stem}"] = shipped(model)
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case, (decode, _) in cases.items():
            started = time.process_time()
            decode()
            seconds[case].append(time.process_time() - started)
    tokens = SOURCES * BEAM * LENGTH
    rows = []
    for case, (_, parameters) in cases.items():
        rates = [tokens / t for t in seconds[case]]
        ratios = [a / b for a, b in zip(seconds["published code, 6+6 layers"], seconds[case],
                                        strict=True)]  # fmt: skip
        rows.append({
            "dim": dim, "decoder": case, "parameters": parameters,
            "hypothesis_tokens_per_cpu_second": round(statistics.median(rates), 1),
            "times_published": round(statistics.median(ratios), 2),
            "range": [round(min(ratios), 2), round(max(ratios), 2)],
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def trunk_size(dim: int, encoder: int, decoder: int) -> int:
    with torch.device("meta"):
        return size(Sequence(SequenceConfig(
            dim=dim, heads=HEADS, groups=2, encoder_layers=encoder, decoder_layers=decoder,
            vocabulary=WORDS,
        )))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("official", type=Path, help="a clone of the published code")
    parser.add_argument("--dims", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="integrate-small")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "symbolic_decode.json"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    for dim in options.dims:
        new = measure(options.official, dim, options.rounds, options.model)
        rows = [row for row in rows if row["dim"] != dim] + new
    result = {
        "what": "encoding and beam search on CPU, one thread, float32, no early end",
        "sources": SOURCES, "beam": BEAM, "source_length": SOURCE_LENGTH, "length": LENGTH,
        "vocabulary": WORDS, "rounds": options.rounds, "date": str(date.today()),
        "device": f"{processor()}, {os.cpu_count()} cores", "torch": torch.__version__,
        "command": "python benchmarks/symbolic_decode.py OFFICIAL --dims 512 1024",
        "rows": rows,
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
