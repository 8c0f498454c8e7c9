"""Downloads: resumed, verified, refused on a mismatch, never half a file."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sciml.data import fetch
from sciml.data.card import File
from sciml.errors import InputError

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        ranges: list = []
        cut = 0

        def do_GET(self):
            if self.path == "/missing":
                self.send_error(404)
                return
            requested = self.headers.get("Range")
            type(self).ranges.append(requested)
            begin = int(requested.removeprefix("bytes=").rstrip("-")) if requested else 0
            self.send_response(206 if requested else 200)
            self.send_header("Content-Length", str(len(CONTENT) - begin))
            self.end_headers()
            end = type(self).cut or len(CONTENT)
            type(self).cut = 0
            self.wfile.write(CONTENT[begin:end])

        def log_message(self, *args):
            pass

    Handler.ranges = []
    http: Any
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        http.handler, http.url = Handler, f"http://127.0.0.1:{http.server_port}"
        yield http
        http.shutdown()


def test_a_download_that_broke_off_goes_on(server, tmp_path):
    server.handler.cut = 300_000
    file = File("data.bin", f"{server.url}/data.bin", DIGEST)
    path = tmp_path / "data.bin"
    with pytest.raises(InputError, match="ended after 300,000 of"):
        fetch.fetch(file, path)
    assert not path.exists()
    assert fetch.fetch(file, path).read_bytes() == CONTENT
    assert server.handler.ranges == [None, "bytes=300000-"]
    assert list(tmp_path.iterdir()) == [path]
    fetch.fetch(file, path)
    assert len(server.handler.ranges) == 2, "a verified file is not downloaded again"


def test_a_wrong_digest_is_refused_and_nothing_stays(server, tmp_path):
    file = File("data.bin", f"{server.url}/data.bin", "0" * 64)
    with pytest.raises(InputError, match="sha256 is"):
        fetch.fetch(file, tmp_path / "data.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_on_disk_is_refused(tmp_path):
    (tmp_path / "data.bin").write_bytes(b"other")
    with pytest.raises(InputError, match="Delete it"):
        fetch.fetch(File("data.bin", "http://127.0.0.1:9/x", DIGEST), tmp_path / "data.bin")


def test_server_errors_are_one_line(server, tmp_path):
    with pytest.raises(InputError, match="404"):
        fetch.fetch(File("data.bin", f"{server.url}/missing", DIGEST), tmp_path / "data.bin")
    with pytest.raises(InputError, match="cannot be reached"):
        fetch.fetch(File("data.bin", "http://127.0.0.1:9/x", DIGEST), tmp_path / "data.bin")
    assert not (tmp_path / "data.bin").exists()


def test_generated_data_is_made_not_downloaded(capsys):
    from sciml.data import card as cards

    assert "jets" in cards.names()
    from sciml.cli import main

    assert main(["data", "get", "jets"]) == 2
    assert "sciml data make" in capsys.readouterr().err
