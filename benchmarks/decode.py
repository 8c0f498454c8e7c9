"""Beam search: hypothesis-tokens a second against Hugging Face transformers at equal size.

    python benchmarks/decode.py --peer-python /path/to/venv/bin/python

The peers (BART and T5, random weights, cache on) live in an environment of their own with torch of
the same version and transformers; both sides run on one thread, alternating, and are timed in CPU
seconds, so that other work on the machine counts little. No hypothesis may end early, so both
decode sources x beam x length tokens. Random weights are our worst case: their hypotheses never
share a past, so the common pool of keys (`sciml.nn.beam_cache`) saves nothing. "Equal size" is
given in two ways: the same layers and heads, and the same number of parameters in the shape that
this package prefers (grouped key heads; a deep encoder and a shallow decoder). Writes
benchmarks/results/decode.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from machine import json_output, processor

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

SOURCES, BEAM, SOURCE_LENGTH, LENGTH, VOCABULARY = 4, 10, 64, 64, 128
DIMS = (256, 512)


def ours(
    dim: int, layers: tuple[int, int], groups: int, expansion: float = 4.0
) -> tuple[float, int]:
    """(CPU seconds, parameters) of one beam search."""
    import torch

    from sciml.trunks.sequence import Sequence, SequenceConfig

    torch.manual_seed(0)
    model = Sequence(SequenceConfig(
        dim=dim, heads=8, groups=groups, encoder_layers=layers[0], decoder_layers=layers[1],
        vocabulary=VOCABULARY, expansion=expansion,
    )).eval()  # fmt: skip

    class NeverEnd:
        """The end token only where no other is left."""

        def start(self, hypotheses, device):
            return torch.zeros(hypotheses, 1)

        def allowed(self, state, remaining):
            fits = torch.ones(len(state), VOCABULARY, dtype=torch.bool)
            fits[:, 2] = remaining == 1
            return fits

        def advance(self, state, tokens):
            return state

        def paths(self, state):
            return None

    source = torch.randint(3, VOCABULARY, (SOURCES, SOURCE_LENGTH))
    model.beam_search(source, beam=BEAM, max_length=4, grammar=NeverEnd())
    began = time.process_time()
    output = model.beam_search(source, beam=BEAM, max_length=LENGTH, grammar=NeverEnd())
    seconds = time.process_time() - began
    assert output.tokens.shape == (SOURCES, BEAM, LENGTH)
    return seconds, sum(p.numel() for p in model.parameters())


def peer(kind: str, layers: tuple[int, int], dim: int) -> tuple[float, int]:
    """(CPU seconds, parameters) of one `generate` of transformers."""
    import torch
    import transformers

    torch.manual_seed(0)
    if kind == "bart":
        model = transformers.BartForConditionalGeneration(transformers.BartConfig(
            vocab_size=VOCABULARY, d_model=dim, encoder_layers=layers[0],
            decoder_layers=layers[1], encoder_attention_heads=8, decoder_attention_heads=8,
            encoder_ffn_dim=4 * dim, decoder_ffn_dim=4 * dim, max_position_embeddings=256,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
            forced_eos_token_id=None,
        ))  # fmt: skip
    else:
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(
            vocab_size=VOCABULARY, d_model=dim, d_kv=dim // 8, num_layers=layers[0],
            num_decoder_layers=layers[1], num_heads=8, d_ff=4 * dim, pad_token_id=0,
            eos_token_id=2, decoder_start_token_id=1,
        ))  # fmt: skip
    model.eval()
    source = torch.randint(3, VOCABULARY, (SOURCES, SOURCE_LENGTH))
    settings = dict(
        attention_mask=torch.ones_like(source),
        num_beams=BEAM,
        do_sample=False,
        num_return_sequences=BEAM,
        use_cache=True,
        early_stopping=False,
    )
    with torch.inference_mode():
        model.generate(source, min_new_tokens=4, max_new_tokens=4, **settings)
        began = time.process_time()
        output = model.generate(source, min_new_tokens=LENGTH, max_new_tokens=LENGTH, **settings)
    seconds = time.process_time() - began
    assert output.shape == (SOURCES * BEAM, LENGTH + 1), output.shape
    return seconds, sum(p.numel() for p in model.parameters())


CASES: dict[str, dict[str, Any]] = {
    "sciml": {
        "sciml, 6+6 layers, 8 key heads": ((6, 6), 8, 4.0),
        "sciml, 6+6 layers, 2 key heads, wider": ((6, 6), 2, 5.2),
        "sciml, 10+3 layers, 2 key heads, wider": ((10, 3), 2, 5.0),
        "sciml, 6+2 layers, 2 key heads": ((6, 2), 2, 4.0),
    },
    "peer": {
        "transformers BART, 6+6 layers": ("bart", (6, 6)),
        "transformers T5, 6+6 layers": ("t5", (6, 6)),
    },
}


def measure(side: str) -> None:
    """Time every case of a side once and print the rows as JSON."""
    import torch

    torch.set_num_threads(1)
    versions = f"torch {torch.__version__}"
    if side == "peer":
        import transformers

        versions += f", transformers {transformers.__version__}"
    rows = []
    for dim in DIMS:
        for name, how in CASES[side].items():
            seconds, size = ours(dim, *how) if side == "sciml" else peer(how[0], how[1], dim)
            rows.append(
                {
                    "dim": dim,
                    "model": name,
                    "seconds": seconds,
                    "parameters": size,
                    "versions": versions,
                }
            )
    print(json.dumps(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="python of an environment with transformers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "decode.json"
    )
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side)
        return
    if not arguments.peer_python:
        parser.error("--peer-python is needed")
    measured: dict[tuple[int, str], list[dict]] = {}
    for _ in range(arguments.rounds):  # taking turns, so that drift hits all alike
        for side, python in (("sciml", sys.executable), ("peer", arguments.peer_python)):
            for row in json_output(python, __file__, "--side", side):
                measured.setdefault((row["dim"], row["model"]), []).append(row)
    tokens = SOURCES * BEAM * LENGTH
    speed = {key: [tokens / row["seconds"] for row in runs] for key, runs in measured.items()}
    rows = []
    for (dim, name), runs in measured.items():
        rate = statistics.median(speed[dim, name])
        peers = {
            other: round(rate / statistics.median(speed[dim, other]), 2) for other in CASES["peer"]
        }
        rows.append({
            "dim": dim, "model": name, "parameters": runs[0]["parameters"],
            "hypothesis_tokens_per_cpu_second": round(rate, 1),
            "range": [round(min(speed[dim, name]), 1), round(max(speed[dim, name]), 1)],
            "times_as_fast_as": peers if name in CASES["sciml"] else None,
            "versions": runs[0]["versions"],
        })  # fmt: skip
        print(rows[-1])
    result = {
        "what": "beam search on CPU, one thread, float32, random weights, no early end",
        "sources": SOURCES, "beam": BEAM, "source_length": SOURCE_LENGTH, "length": LENGTH,
        "vocabulary": VOCABULARY, "rounds": arguments.rounds, "date": str(date.today()),
        "device": f"{processor()}, {os.cpu_count()} cores",
        "command": "python benchmarks/decode.py --peer-python VENV/bin/python",
        "rows": rows,
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
