"""Ask the application of the server without a network."""

import asyncio
import json

from bertsent.serving import Limits, Service
from bertsent.serving.app import make_app


class Client:
    """Sends requests to an application without a network, to a service of its own."""

    def __init__(self, served, limits=None):
        self.service = Service(served, limits or Limits())
        self.app = make_app(self.service)

    def all(self, *requests):
        """Answer requests at the same time; each is a tuple of the arguments of `one`."""

        async def run():
            self.service.start()
            answers = await asyncio.gather(*(self.one(*each) for each in requests))
            await asyncio.to_thread(self.service.close)
            return answers

        return asyncio.run(run())

    async def one(self, path, content=None, *, kind="application/json", chunks=None, leave=None):
        """Return status, headers and content of an answer.

        `leave` is an event at which the client goes away.
        """
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = [body] if chunks is None else chunks
        sent, answered = [], asyncio.Event()

        async def receive():
            while given:
                chunk = given.pop(0)
                if chunk is not None:
                    return {"type": "http.request", "body": chunk, "more_body": bool(given)}
                await asyncio.sleep(30)
            await (answered if leave is None else leave).wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            answered.set()

        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        method = "GET" if content is None and chunks is None else "POST"
        await self.app({
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "headers": headers if chunks is None else headers[:1], "query_string": b"",
            "http_version": "1.1", "scheme": "http", "root_path": "",
        }, receive, send)
        head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        found = b"".join(message.get("body", b"") for message in sent[1:])
        is_json = head.get("content-type") == "application/json"
        return sent[0]["status"], head, json.loads(found) if is_json else found
