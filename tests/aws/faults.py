"""A relay in front of moto's server that answers chosen EC2 actions with the errors that AWS would give."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>test</RequestID></Response>"""


class FaultyAws:
    """Passes requests on to moto, but for the actions in `errors` and `replacements`.

    Attributes:
        errors: EC2 action -> (error code, message).
        replacements: EC2 action -> (text of moto's answer, text instead of it).
        parameters: Published SSM parameter -> its value; moto has none of AWS's own.
        endpoint: Address for AWS_ENDPOINT_URL.
    """

    def __init__(self, moto_endpoint: str) -> None:
        self.errors: dict[str, tuple[str, str]] = {}
        self.replacements: dict[str, tuple[str, str]] = {}
        self.parameters: dict[str, str] = {}
        self.moto = urllib.parse.urlsplit(moto_endpoint).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        action = urllib.parse.parse_qs(body.decode("latin-1")).get("Action", [""])[0]
        if action in self.errors:
            code, message = self.errors[action]
            return 400, "text/xml", ERROR.format(code=code, message=message).encode()
        if headers.get("X-Amz-Target") == "AmazonSSM.GetParameter":
            name = json.loads(body)["Name"]
            if name in self.parameters:
                answer = {"Parameter": {"Name": name, "Value": self.parameters[name]}}
                return 200, "application/x-amz-json-1.1", json.dumps(answer).encode()
        connection = http.client.HTTPConnection(self.moto, timeout=30)
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        if action in self.replacements:
            found, instead = self.replacements[action]
            content = content.replace(found.encode(), instead.encode())
        return reply.status, reply.getheader("Content-Type", "text/xml"), content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
                status, kind, content = relay._answer(self.path, headers, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """The test's output is not the place for an access log."""

        return Handler
