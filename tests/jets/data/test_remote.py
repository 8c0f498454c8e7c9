"""Files behind URLs: pieces where the server can send them, whole files where it cannot."""

import http.server
import re
import threading

import awkward as ak
import numpy as np
import pytest

from sciml.cli import main
from sciml.errors import InputError
from sciml.jets.data.io import create, open_jets, read_jets
from sciml.jets.data.remote import RemoteFile, is_url
from sciml.jets.data.sample import shipped


class Handler(http.server.SimpleHTTPRequestHandler):
    """Sends pieces of files, if `pieces`; counts the bytes that it sends."""

    pieces = True
    sent = 0

    def do_GET(self):
        where = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if not (self.pieces and where):
            type(self).sent += 1 << 40
            return super().do_GET()
        with open(path, "rb") as file:
            content = file.read()
        first, last = int(where[1]), min(int(where[2] or len(content)), len(content) - 1)
        part = content[first : last + 1]
        type(self).sent += len(part)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory, fixture_file, fixture_script):
    folder = tmp_path_factory.mktemp("served")
    jets = read_jets(shipped("test"))[:12]
    columns = {name: jets[name] for name in jets.fields}
    for suffix in (".root", ".parquet"):
        with create(folder / f"jets{suffix}") as writer:
            writer.write(columns)
    fixture_script("jet_files").write(folder, fixture_file("jets/jets.parquet"))
    return folder


@pytest.fixture(scope="module", params=["pieces", "whole"])
def served(request, folder):
    """The address of a server of the folder that sends pieces of files, and of one that cannot."""

    class Own(Handler):
        pieces = request.param == "pieces"

    def handler(*arguments):
        return Own(*arguments, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "name", ["jets.root", "jets.parquet", "n_rnt.root", "n_AK4.root", "top_be.h5", "energyflow.npz"]
)
def test_a_url_reads_as_the_file(served, folder, name):
    with open_jets(folder / name) as local, open_jets(f"{served}/{name}") as remote:
        assert local.columns == remote.columns and len(local) == len(remote)
        columns = list(local.columns)[:6]
        ours, theirs = (ak.concatenate(list(r.iterate(columns))) for r in (remote, local))
    assert ours.tolist() == theirs.tolist()


def test_urls_and_files_are_tagged_together(served, folder, tmp_path):
    files = [f"{served}/jets.root", str(folder / "jets.parquet")]
    assert main(["jets", "tag", *files, "-o", str(tmp_path / "o.parquet")]) == 0
    scores = np.asarray(read_jets(tmp_path / "o.parquet").score_QCD)
    assert len(scores) == 24 and np.allclose(scores[:12], scores[12:], atol=1e-6)


def test_faults_are_one_line(served, tmp_path, capsys):
    closed = "http://127.0.0.1:9/jets.root"
    for url, words in ((f"{served}/none.root", "no such file"), (closed, "cannot be reached")):
        assert main(["jets", "tag", url, "-o", str(tmp_path / "o.parquet")]) == 2
        message = capsys.readouterr().err.strip()
        assert words in message and len(message.splitlines()) == 1 and "127.0.0.1" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("root://eos.cern.ch//store/a.root", r"fsspec_xrootd.*pip install 'sciml\[xrootd\]'"),
        ("s3://bucket/a.parquet", "s3fs"), ("nothing://a/b.root", "nothing"),
    ],
)  # fmt: skip
def test_missing_packages_are_named(url, words):
    with pytest.raises(InputError, match=words):
        open_jets(url)


def test_passwords_are_never_shown():
    file = RemoteFile("http://me:secret@127.0.0.1:9/a.root?x=1")
    assert "secret" not in str(file) and (file.name, file.suffix) == ("a.root", ".root")
    with pytest.raises(InputError) as caught:
        file.open()
    assert "secret" not in str(caught.value)


def test_paths_are_no_urls(tmp_path):
    assert is_url("https://a/b") and is_url("simplecache::https://a/b")
    assert not any(map(is_url, ("a.root", "/a/b", "C:/a", "a:b", "", None)))
    with pytest.raises(InputError, match="no such file"):
        open_jets(f"file://{tmp_path}/none.root")
    with pytest.raises(InputError, match="empty name"):
        open_jets("")
