"""A program that stands in for a server: it listens where its arguments say, and does what its environment says.

STUB_RECORD: a file that its arguments and its children's ids are written to; STUB_LOADING: how many questions are
answered with 503 first; STUB_ENDS: the status with which it ends at once; STUB_DEAF: it heeds no SIGTERM; STUB_SILENT:
it never listens; STUB_FRONT: it ends when it is asked for /end.
"""

import http.server
import json
import os
import signal
import subprocess
import sys

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Handler(http.server.BaseHTTPRequestHandler):
    left = int(os.environ.get("STUB_LOADING", "0"))

    def do_GET(self) -> None:
        if self.path == "/end":
            os._exit(5)
        Handler.left -= 1
        self.send_response(200 if Handler.left < 0 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> None:
    arguments = sys.argv[1:]
    sys.stdout.write(f"\x1b]0;hostile\x07 stub with {len(arguments)} arguments\n")
    sys.stdout.flush()
    if os.environ.get("STUB_DEAF"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = [subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=apart).pid for apart in (False, True)]
    with open(os.environ["STUB_RECORD"] + ".part", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump({"arguments": arguments, "children": children, "pid": os.getpid(), "names": sorted(os.environ)}, file)
    os.replace(os.environ["STUB_RECORD"] + ".part", os.environ["STUB_RECORD"])  # noqa: PTH105
    if status := os.environ.get("STUB_ENDS"):
        sys.exit(int(status))
    if os.environ.get("STUB_SILENT"):
        signal.pause()
    port = int(arguments[arguments.index("--port") + 1])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
