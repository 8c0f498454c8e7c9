"""Two thousand damaged files: each is read or refused with an `InputError`, nothing else."""

import random
import shutil
from pathlib import Path

import pytest

from sciml.errors import InputError
from sciml.placement import hpwl, read_design

CORPUS = Path(__file__).parents[1] / "corpus/placement"
TARGETS = {
    "bookshelf": [f"good_bookshelf/x.{e}" for e in ("nodes", "nets", "pl", "scl", "aux")],
    "protobuf": ["good.pb.txt"],
    "lefdef": ["good_def/x.def", "good_def/x.lef"],
}
JUNK = ["", "nan", "-1", "1e400", "999999999999", "{", "}", '"', ";", "(", ")", "-", ":", "#",
        "END", "\x00", "\u00e9", "0", "a", "\\", "+"]  # fmt: skip


def damage(text: str, rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 1:  # a word becomes junk
        words = text.split(" ")
        words[rng.randrange(len(words))] = rng.choice(JUNK)
        return " ".join(words)
    if kind == 2:  # a line is lost, doubled or moved
        lines = text.splitlines(True)
        k = rng.randrange(len(lines))
        lines[k : k + 1] = rng.choice([[], [lines[k]] * 2, [lines[k], rng.choice(lines)]])
        return "".join(lines)
    if kind == 3:  # a character changes
        k = rng.randrange(len(text))
        return text[:k] + chr(rng.randrange(1, 256)) + text[k + 1 :]
    if kind == 4:  # a part is lost
        a = rng.randrange(len(text))
        return text[:a] + text[a + rng.randrange(40) :]
    k = rng.randrange(len(text))  # a part is doubled
    return text[:k] + text[max(0, k - rng.randrange(60)) :]


@pytest.mark.filterwarnings("ignore:.*read as they stand:UserWarning")
@pytest.mark.parametrize("kind, count", [("bookshelf", 900), ("protobuf", 600), ("lefdef", 600)])
def test_damaged_files(kind, count, tmp_path):
    rng = random.Random(kind)
    folder = tmp_path / "design"
    source = CORPUS / TARGETS[kind][0]
    read = refused = 0
    if kind == "protobuf":
        folder.mkdir()
        shutil.copy(source, folder)
    else:
        shutil.copytree(source.parent, folder)
    originals = {p.name: p.read_text() for p in folder.iterdir()}
    for _ in range(count):
        name = rng.choice(sorted(Path(t).name for t in TARGETS[kind]))
        text = originals[name]
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            text = damage(text, rng) if text else rng.choice(JUNK)
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            hpwl(read_design(folder))
            read += 1
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
        (folder / name).write_text(originals[name])
    assert read + refused == count and refused > count // 4 and read > count // 20
