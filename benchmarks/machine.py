"""Facts about the machine, and measurements in separate processes."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path
from typing import Any


def processor() -> str:
    """The processor's name on Linux, else its kind."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def json_output(*command: object) -> Any:
    """The JSON in the last line of a subprocess; its failure ends this process."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"failed with exit code {done.returncode}: {' '.join(map(str, command))}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def resident(key: str = "VmRSS") -> float:
    """MiB of this process now (VmRSS), or their peak since `forget_peak` (VmHWM); Linux only.

    Not `getrusage`: its peak begins with that of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":"))


def forget_peak() -> None:
    """Let VmHWM start again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
