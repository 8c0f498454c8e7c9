"""Damages files of jets at random and reads them, in a process of its own.

    python damage.py FIRST LAST FOLDER

For every number a good file (of the corpus) is cut, bits are flipped, or a stretch is replaced;
then its jets are read. One JSON line a file: what came out. The process limits its own memory and
time, so that a reader that hangs or asks for gigabytes is noticed.
"""

import json
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

CORPUS = Path(__file__).parents[1] / "corpus" / "jets"
SOURCES = ("good.root", "good.parquet", "many.parquet", "one_jet.root")
MEMORY, SECONDS = 2 << 30, 20
"""Address space on top of what libraries and good files take [bytes]; processor time a file [s]."""


def damaged(number: int) -> tuple[str, bytes]:
    """File name and content of one damaged file."""
    rng = np.random.default_rng([20, number])
    source = SOURCES[number % len(SOURCES)]
    data = bytearray((CORPUS / source).read_bytes())
    kind = rng.integers(4)
    if kind == 0:
        data = data[: rng.integers(1, len(data))]
    elif kind == 1:
        for at in rng.integers(0, len(data), rng.integers(1, 12)):
            data[at] ^= 1 << rng.integers(8)
    elif kind == 2:
        at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 64))
        data[at : at + size] = rng.bytes(size)
    else:
        # where formats keep their sizes: the head and the tail
        at = int(rng.integers(0, 300) if rng.random() < 0.5 else len(data) - rng.integers(1, 3000))
        size = int(rng.integers(1, 9))
        data[at : at + size] = rng.bytes(size) if rng.random() < 0.5 else b"\xff" * size
    return source, bytes(data)


class Hang(BaseException):
    """The reader took too long."""


def peak_mb() -> int:
    """This program's own peak; `ru_maxrss` would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def mapped() -> int:
    """Address space of this process [bytes]; that of CUDA's libraries alone is many gigabytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main(first: int, last: int, folder: Path) -> None:
    from sciml.errors import InputError
    from sciml.jets.data.io import open_jets
    from sciml.jets.data.ragged import to_dense

    warnings.simplefilter("ignore")

    def too_long(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGPROF, too_long)  # of processor time: the machine may be busy
    truth = {}
    for name in SOURCES:
        with open_jets(CORPUS / name) as reader:
            truth[name] = len(reader)
    most = mapped() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for number in range(first, last):
        name, data = damaged(number)
        path = folder / f"{number}{Path(name).suffix}"
        path.write_bytes(data)
        print(json.dumps({"number": number, "start": True}), flush=True)
        began = time.process_time()
        result = {"number": number, "source": name}
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            rows, order = 0, []
            with open_jets(path) as reader:
                for events in reader.iterate(step=4):
                    jets = to_dense(events, where=path)
                    rows += len(jets)
                    if "event" in events.fields:  # its name may be what was damaged
                        order += [int(e) for e in events["event"]]
            result["outcome"] = "read"
            # Damage to values cannot be seen; jets that are lost or moved would be our fault.
            result["rows"], result["expected"] = rows, truth[name]
            result["in_order"] = all(b >= a for a, b in zip(order, order[1:], strict=False))
        except InputError as error:
            line = str(error)
            result["outcome"] = "refused" if "\n" not in line and len(line) < 1000 else "long"
            result["message"] = line[-200:]
        except Hang:
            result["outcome"] = "hang"
        except BaseException as error:
            result["outcome"] = "traceback"
            result["message"] = f"{type(error).__name__}: {error}"[:300]
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        result["seconds"] = round(time.process_time() - began, 3)
        print(json.dumps(result), flush=True)
        path.unlink(missing_ok=True)
    print(json.dumps({"peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
