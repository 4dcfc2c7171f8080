"""A stand-in for Telegram's Bot API, run as a process of its own: `python telegram_server.py LOG`.

It prints its port. LOG takes one JSON line a request: path, body, status. Before each answer it
reads LOG.plan, a JSON list of {status, body, hang}: the first that is left is used; then it is 200.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading
from pathlib import Path
from typing import Any

GOOD = {"status": 200, "body": {"ok": True, "result": {"message_id": 1}}, "hang": False}


def handler(log: Path) -> type[http.server.BaseHTTPRequestHandler]:
    """A request handler that keeps what it was asked in `log`."""
    plan_file = log.with_suffix(".plan")

    def next_answer() -> dict[str, Any]:
        rows = json.loads(plan_file.read_text()) if plan_file.exists() else []
        plan_file.write_text(json.dumps(rows[1:]))
        return GOOD | rows[0] if rows else GOOD

    class Handler(http.server.BaseHTTPRequestHandler):
        """sendMessage, as planned."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = next_answer()
            row = {"path": self.path, "body": body, "status": answer["status"]}
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
            if answer["hang"]:
                threading.Event().wait(30)
            content = json.dumps(answer["body"]).encode()
            self.send_response(answer["status"])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Its log is the file."""

    return Handler


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(Path(sys.argv[1])))
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
