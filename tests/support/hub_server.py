"""A server on loopback that speaks the Hugging Face hub's protocol, with faults to order.

It serves folders as repositories to huggingface_hub's own client: api/models, tree, whoami, and
resolve with HEAD, ETag, commit and Range, with the hub's error headers.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """A folder under a hub id.

    `gated` asks for a token on its list; `readers` are the tokens that may read it.
    """

    folder: Path
    gated: bool = False
    readers: set[str] = field(default_factory=set)
    tag: str = "text-to-image"


class Hub(ThreadingHTTPServer):
    """The server; `with Hub() as hub:` runs it.

    Attributes:
        repositories: id -> Repository.
        users: token -> name.
        faults: end of a path -> what happens to GETs (and for a number, to everything): "die"
            (half of it, then the line is cut; once), "short" (half of it, always), "corrupt",
            "trickle", "hang", or a status; (status, headers, times) for a few times.
        asked: how often each (method, path) was asked for.
        spans: each file that was sent, by its path, and the Range that was asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stopped = False
        self.repositories: dict[str, Repository] = {}
        self.users: dict[str, str] = {}
        self.faults: dict[str, object] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.spans: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Goes off the net, on open lines too."""
        self.stopped = True
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client: object) -> None:
        """A client that hangs up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        if self.server.stopped:
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.asked[self.command, path] += 1
        fault = next((f for end, f in self.server.faults.items() if path.endswith(end)), None)
        if isinstance(fault, int):
            return self.refuse(fault)
        if isinstance(fault, tuple):
            status, headers, times = fault
            end = next(e for e in self.server.faults if path.endswith(e))
            self.server.faults[end] = (status, headers, times - 1)
            if times > 0:
                return self.refuse(status, **headers)
            fault = None
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server.users:
            return self.refuse(
                401, **{"X-Error-Message": "Invalid credentials in Authorization header"}
            )
        if path == "api/whoami-v2":
            name = self.server.users.get(token)
            return self.send({"name": name, "type": "user"}) if name else self.refuse(401)
        if path == "api/models":
            return self.send([])
        parts = path.split("/")
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        there = self.server.repositories.get(name)
        if there is None:  # the hub says 401 of what is not there, to those without a token
            return self.refuse(
                404 if token else 401,
                **{"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"},
            )
        rest = parts[4:] if api else parts[2:]
        if len(rest) > 1 and rest[1] not in ("main", COMMIT):
            return self.refuse(404, **{"X-Error-Code": "RevisionNotFound"})
        if api and rest[:1] == ["tree"]:
            return self.send([self.entry(there, f) for f in files(there.folder)])
        if api:
            return self.send(
                {
                    "id": name, "modelId": name, "sha": COMMIT, "private": False,
                    "gated": "auto" if there.gated else False, "pipeline_tag": there.tag,
                    "siblings": [
                        {"rfilename": f, **{k: v for k, v in self.entry(there, f).items()
                                            if k in ("size", "lfs")}}
                        for f in files(there.folder)
                    ],
                }
            )  # fmt: skip
        if there.gated and token not in there.readers:
            what = "Access to this model is restricted and you are not in the authorized list."
            if token in self.server.users and "fine" in token:
                what = "Please enable access to public gated repositories in your fine-grained " \
                       "token settings to view this repository."  # fmt: skip
            return self.refuse(
                403 if token else 401, **{"X-Error-Code": "GatedRepo", "X-Error-Message": what}
            )
        file = there.folder / "/".join(rest[2:])
        if not file.is_file():
            return self.refuse(404, **{"X-Error-Code": "EntryNotFound"})
        return self.file(file, fault)

    def entry(self, there: Repository, name: str) -> dict[str, object]:
        body = (there.folder / name).read_bytes()
        entry: dict[str, object] = {
            "type": "file", "path": name, "size": len(body),
            "oid": hashlib.sha1(body).hexdigest(),
        }  # fmt: skip
        if name.endswith((".safetensors", ".bin")):
            digest = hashlib.sha256(body).hexdigest()
            entry["lfs"] = {
                "oid": digest, "sha256": digest, "size": len(body), "pointerSize": 134
            }  # fmt: skip
        return entry

    def send(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def file(self, file: Path, fault: object) -> None:
        body = file.read_bytes()
        start, size = 0, len(body)
        if span := self.headers.get("Range"):
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, body = int(first), body[: int(last) + 1 if last else None]
        if self.command == "GET":
            self.server.spans.append((file.as_posix(), span))
        self.send_response(206 if span else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(file.read_bytes()).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body) - start))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "corrupt":  # the right length, another content
            body = body[:40] + bytes(b ^ 255 for b in body[40:60]) + body[60:]
        if fault in ("die", "short"):
            middle = (len(body) + start) // 2
            if fault == "die":
                self.server.faults = {}
            self.wfile.write(body[start:middle])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "trickle":
            step = max(1, (len(body) - start) // 20)
            for i in range(start, len(body), step):
                self.wfile.write(body[i : i + step])
                self.wfile.flush()
                threading.Event().wait(0.02)  # time.sleep is switched off in these tests
        elif fault == "hang":
            self.wfile.write(body[start : start + 10])
            self.wfile.flush()
            threading.Event().wait(5)
        else:
            self.wfile.write(body[start:])


def files(folder: Path) -> list[str]:
    """All files of a repository, by their paths in it."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
