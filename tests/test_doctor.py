"""What `sciml doctor` says to somebody on a cluster: what is here, what is missing, the remedy."""

from types import SimpleNamespace

import pytest
import torch

from sciml import doctor


@pytest.fixture
def lines(capsys):
    """Its lines by the word before the colon."""

    def told() -> dict[str, str]:
        assert doctor.doctor() == 0
        pairs = (line.partition(": ") for line in capsys.readouterr().out.splitlines())
        return {name: text for name, _, text in pairs}

    return told


def test_a_cluster_of_ray_and_what_it_lacks(lines, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "on this machine" in lines()["Ray"]
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert "head:6379" in lines()["Ray"]
    monkeypatch.setattr(doctor, "OF_RAY", ("pyarrow", "no_such_package"))
    assert lines()["Ray"].startswith("no_such_package missing")
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "ray" else "1")
    told = lines()
    assert told["Ray"].startswith("missing") and "sciml[ray]" in told["Ray"]
    assert "sciml[ray]" in told["optional ray"]


def test_programs_and_job_of_slurm(lines, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lines()["SLURM"].startswith("sbatch, srun, scontrol missing")
    for name in ("sbatch", "srun", "scontrol"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    assert lines()["SLURM"].startswith("here") and "job 42" in lines()["SLURM"]


def test_why_no_gpu_is_used(lines, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in lines()["GPU"]
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "none is visible" in lines()["GPU"] and "CUDA_VISIBLE_DEVICES=''" in lines()["GPU"]


def test_gpus_are_counted_by_kind(monkeypatch):
    facts = [SimpleNamespace(name="H100", total_memory=80 << 30)] * 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", facts.__getitem__)
    assert doctor._gpu().startswith("2 x H100 (80 GiB)")


def test_the_cache_and_its_space(lines, monkeypatch, tmp_path):
    monkeypatch.setenv("SCIML_CACHE", str(tmp_path / "not" / "yet"))
    assert "GB free" in lines()["downloads and generated data"]
