"""`sciml` as the child of a worker: `python -m sciml.launch.ray_child run ...`.

It ends at once when its parent is gone, which it notices by the end of its standard input: no run
goes on alone while its repetition waits for the folder.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def _watch() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_watch, daemon=True).start()

    from sciml.cli import main

    sys.exit(main())
