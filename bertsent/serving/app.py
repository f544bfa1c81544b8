"""The application: paths, limits, and the way of a request through the queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import bertsent
from bertsent.model import normalize
from bertsent.serving.batcher import Batcher, Overloaded
from bertsent.serving.forms import (
    EmbedRequest,
    Refusal,
    encode_vectors,
    label_scores,
    openai_response,
    parse_embed,
    parse_openai,
    parse_predict,
)
from bertsent.serving.jobs import Job
from bertsent.serving.metrics import Metrics
from bertsent.serving.served import Served

if TYPE_CHECKING:
    from bertsent.texts import Text

__all__ = ["Limits", "Service", "make_app"]

# Requests with at most this many bytes are tokenized in the thread that reads requests, which takes
# less time than waking up another one.
_SMALL = 20_000
_JSON = "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Limits:
    """What the server accepts. Names are those of text-embeddings-inference where it has them.

    Parameters
    ----------
    max_concurrent_requests : int, default=512
        Requests that are read, wait or are computed at a time.
    max_client_batch_size : int, default=32
        Texts of a request.
    max_request_tokens : int, default=65536
        Tokens that the model reads for one request.
    max_queue_tokens : int, default=262144
        Tokens that may wait.
    max_batch_tokens : int, default=4096
        Tokens of a batch.
    payload_limit : int, default=2000000
        Bytes of the body of a request.
    body_seconds : float, default=30
        Time in which the body of a request must arrive.
    """

    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    max_request_tokens: int = 65_536
    max_queue_tokens: int = 262_144
    max_batch_tokens: int = 4096
    payload_limit: int = 2_000_000
    body_seconds: float = 30.0


class Service:
    """A model behind a queue.

    Parameters
    ----------
    served : Served
    limits : Limits

    Attributes
    ----------
    active : int
        Number of requests that are not answered yet.
    answered : int
        Number of those that are.
    closing : bool
        Whether the server is shutting down: connections are closed after their answer.
    """

    def __init__(self, served: Served, limits: Limits) -> None:
        self.served, self.limits, self.metrics = served, limits, Metrics()
        self.active, self.answered, self.closing = 0, 0, False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._futures: dict[Job, asyncio.Future[None]] = {}
        self._batcher = Batcher(
            served.score, self._deliver, self.metrics, batch_tokens=limits.max_batch_tokens,
            queue_tokens=limits.max_queue_tokens,
        )

    def start(self) -> None:
        """Start to compute. Requests must come from the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._batcher.start()

    def close(self) -> None:
        """Compute what was accepted, and stop."""
        self._batcher.close()

    @property
    def healthy(self) -> bool:
        """Whether the thread that computes is alive."""
        return self._batcher.alive

    def _deliver(self, jobs: Sequence[Job]) -> None:
        """Hand over jobs that are done, from the thread that computes to the event loop."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # a second signal has closed the loop
            self._loop.call_soon_threadsafe(self._resolve, jobs)

    def _resolve(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            future = self._futures.pop(job, None)
            if future is not None and not future.done():
                future.set_result(None)

    async def compute(
        self, request: Request, texts: list[Text], vectors: bool, truncate: bool, left: bool,
        size: int,
    ) -> Job:
        """Return the finished job of some texts.

        Raises
        ------
        ClientDisconnect
            Nobody waits for it any more.
        Refusal
            A limit is exceeded, a text cannot be read, or the computation failed.
        """
        served, limits = self.served, self.limits
        if len(texts) > limits.max_client_batch_size:
            raise Refusal(
                413, "Validation",
                f"batch size {len(texts)} > maximum allowed batch size "
                f"{limits.max_client_batch_size}; send the texts in several requests",
            )
        self._check_kind(texts, vectors, left)
        begun = time.perf_counter()
        try:
            if size <= _SMALL:
                job = served.read(texts, vectors)
            else:
                job = await asyncio.to_thread(served.read, texts, vectors)
        except ValueError as error:
            raise Refusal(422, "Tokenizer", f"Tokenizer error: {error}") from None
        job.seconds = time.perf_counter() - begun
        self._check_tokens(job, truncate)
        future = asyncio.get_running_loop().create_future()
        self._futures[job] = future
        try:
            self._batcher.put(job)
            await _unless_gone(future, request)
        except Overloaded:
            raise Refusal(
                429, "Overloaded",
                f"Model is overloaded: more than {limits.max_queue_tokens:,} tokens would wait; "
                "try again later",
            ) from None
        finally:
            self._futures.pop(job, None)
            job.abandoned = True  # if it is not done
        if job.error is not None:
            raise Refusal(424, "Backend", f"Backend error: {job.error}")
        self.metrics.texts.inc(len(texts))
        self.metrics.tokens.inc(job.tokens)
        self.metrics.waited.observe(job.begun - job.accepted)
        return job

    def _check_kind(self, texts: list[Text], vectors: bool, left: bool) -> None:
        served, pairs = self.served, not isinstance(texts[0], str)
        if served.pairs is not None and pairs != served.pairs:
            what, advice = "a pair of texts", '[["first text"], ["second text"]] are two texts'
            if served.pairs:
                what = "a single text"
                advice = 'send a list of pairs, such as [["first text", "second text"]]'
            elif vectors:
                advice = '["first text", "second text"] are two texts'
            raise Refusal(
                422, "Validation",
                f"`inputs` has {what}, but the model reads "
                f"{'pairs of texts' if served.pairs else 'single texts'}; {advice}",
            )
        if left and served.reader(0, pairs).long_text != "tail":
            raise Refusal(
                422, "Validation",
                '`truncation_direction` "left" is not how this model reads long texts; leave it '
                "out",
            )

    def _check_tokens(self, job: Job, truncate: bool) -> None:
        limit = self.limits.max_request_tokens
        if job.tokens > limit:
            raise Refusal(
                413, "Validation",
                f"`inputs` has {job.tokens:,} tokens, but a request may have {limit:,}; send fewer "
                "or shorter texts",
            )
        if truncate:
            return
        for part in job.parts:
            reader = self.served.reader(part.model, not isinstance(job.texts[0], str))
            cut = np.flatnonzero(part.tokens.truncated)
            if len(cut) and reader.long_text != "windows":
                raise Refusal(
                    422, "Validation",
                    f"`inputs`[{cut[0]}] has more than the {reader.max_length} tokens that the "
                    "model reads; shorten it, or leave out `truncate`",
                )

    async def read_body(self, request: Request) -> bytes:
        """Return the body of a request within the limits."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        # Other types could be sent by any web page that the user opens.
        if kind != _JSON and not kind.endswith("+json"):
            raise Refusal(
                415, "Validation", f"Expected request with `Content-Type: {_JSON}`"
            )
        limit = self.limits.payload_limit
        too_large = Refusal(
            413, "Validation",
            f"the body of the request has more than {limit:,} bytes; send fewer or shorter texts",
        )
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise too_large
        body = bytearray()

        async def receive() -> None:
            async for chunk in request.stream():
                body.extend(chunk)
                if len(body) > limit:
                    raise too_large

        try:
            await asyncio.wait_for(receive(), self.limits.body_seconds)
        except asyncio.TimeoutError:
            raise Refusal(
                408, "Validation",
                f"the body of the request did not arrive within {self.limits.body_seconds:g} "
                "seconds",
            ) from None
        return bytes(body)

    def information(self) -> dict[str, Any]:
        """Return the response of ``/info``."""
        served, limits = self.served, self.limits
        if served.objective is None:
            kind: dict[str, Any] = {"embedding": {"pooling": served.pooling}}
        else:
            names = served.objective.label_names
            kind = {"classifier": {
                "id2label": {str(number): name for number, name in enumerate(names)},
                "label2id": {name: number for number, name in enumerate(names)},
            }}
        objective = served.objective
        return {
            "model_id": served.name, "model_sha": None, "model_dtype": served.precision,
            "served_model_name": served.name, "model_type": kind,
            "max_concurrent_requests": limits.max_concurrent_requests,
            "max_input_length": served.max_length, "max_batch_tokens": limits.max_batch_tokens,
            "max_batch_requests": None, "max_client_batch_size": limits.max_client_batch_size,
            "auto_truncate": True, "tokenization_workers": 1, "version": bertsent.__version__,
            "sha": None, "docker_label": None,
            # What text-embeddings-inference does not have.
            "task": None if objective is None else objective.problem_type,
            "decision": None if objective is None else objective.decision,
            "long_text": served.reader(0, bool(served.pairs)).long_text, "pairs": served.pairs,
            "max_request_tokens": limits.max_request_tokens,
            "max_queue_tokens": limits.max_queue_tokens, "payload_limit": limits.payload_limit,
        }


async def _unless_gone(future: asyncio.Future[None], request: Request) -> None:
    """Wait for a result; raise ClientDisconnect if the client goes away."""
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({future, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
    if not future.done():
        raise ClientDisconnect


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Endpoints:
    """The functions that answer requests, one for each path."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def predict(self, request: Request) -> Response:
        served = self.service.served
        if served.objective is None:
            raise Refusal(424, "Backend", "Backend error: Model is not a classifier model")
        begun = time.perf_counter()
        body = await self.service.read_body(request)
        wanted = parse_predict(body)
        job = await self.service.compute(
            request, wanted.texts, False, wanted.truncate, wanted.left, len(body)
        )
        found = [label_scores(row) for row in served.predictions(job, wanted.raw_scores)]
        return _json(found[0] if wanted.single else found, _timings(job, begun))

    async def embed(self, request: Request) -> Response:
        begun = time.perf_counter()
        body = await self.service.read_body(request)
        wanted = parse_embed(body)
        job, vectors = await self._vectors(request, wanted, len(body))
        return _json(encode_vectors(vectors), _timings(job, begun))

    async def openai(self, request: Request) -> Response:
        begun = time.perf_counter()
        body = await self.service.read_body(request)
        wanted = parse_openai(body)
        job, vectors = await self._vectors(request, wanted, len(body))
        name = self.service.served.name
        content = openai_response(vectors, name, job.tokens, wanted.base64)
        return _json(content, _timings(job, begun))

    async def _vectors(
        self, request: Request, wanted: EmbedRequest, size: int
    ) -> tuple[Job, Any]:
        dimensions = self.service.served.dimensions
        if wanted.dimensions is not None and wanted.dimensions > dimensions:
            raise Refusal(
                422, "Validation",
                f"`dimensions` is {wanted.dimensions}, but the model has {dimensions}",
            )
        job = await self.service.compute(
            request, wanted.texts, True, wanted.truncate, wanted.left, size
        )
        vectors = job.parts[0].of_texts()[:, : wanted.dimensions]
        return job, normalize(vectors) if wanted.normalize else vectors

    async def info(self, request: Request) -> Response:
        return _json(self.service.information())

    async def health(self, request: Request) -> Response:
        if not self.service.healthy:
            raise Refusal(503, "Unhealthy", "unhealthy")
        return Response()

    async def ready(self, request: Request) -> Response:
        if not self.service.healthy:
            raise Refusal(503, "Unhealthy", "unhealthy")
        if self.service.closing:
            raise Refusal(503, "Unhealthy", "the server is shutting down")
        return Response()

    async def metrics(self, request: Request) -> Response:
        return Response(self.service.metrics.text(), media_type=_METRICS)


Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(service: Service, hosts: Collection[str] | None = None) -> Starlette:
    """Return the application, whose event loop must call `start` of the service.

    If `hosts` are given, requests whose header ``Host`` has none of them are refused.
    """
    endpoints = _Endpoints(service)
    answer = endpoints.predict if service.served.objective is not None else endpoints.embed
    asked: dict[str, Endpoint] = {
        "/predict": endpoints.predict, "/embed": endpoints.embed,
        "/v1/embeddings": endpoints.openai, "/embeddings": endpoints.openai,
        "/": answer, "/invocations": answer,
    }
    told: dict[str, Endpoint] = {
        "/info": endpoints.info, "/health": endpoints.health, "/ready": endpoints.ready,
        "/metrics": endpoints.metrics, "/": endpoints.health, "/ping": endpoints.health,
    }
    routes = [
        Route(path, _counted(service, path, function), methods=["POST"])
        for path, function in asked.items()
    ]
    routes += [
        Route(path, _plain(service, function), methods=["GET"]) for path, function in told.items()
    ]

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code == 404:
            paths = ", ".join(path for path in (*asked, *told) if path != "/")
            message = f"there is no {request.url.path}; there are {paths}"
        refusal = Refusal(error.status_code, "Validation", message)
        return _json(refusal.body(), error.headers, status=error.status_code)

    guard = [] if hosts is None else [Middleware(_Guard, hosts=hosts)]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse}, middleware=guard)


class _Guard:
    """Refuses requests to hosts with other names than those that are given.

    Browsers let a page ask the host that it came from, and its owner can let that name point to
    this machine.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A request without it comes from no browser.
        host = Headers(scope=scope).get("host", "localhost")
        if re.sub(r":\d*$", "", host).lower() in self.hosts:
            await self.app(scope, receive, send)
            return
        refusal = Refusal(
            421, "Validation",
            f"the header `Host` is {json.dumps(host[:100])}, but this server answers only for "
            f"{', '.join(sorted(self.hosts))}; let a proxy set the header",
        )
        await _json(refusal.body(), status=421)(scope, receive, send)


def _counted(service: Service, path: str, function: Endpoint) -> Endpoint:
    """Return a function that answers requests within the limits, and counts them."""
    openai = path.endswith("/embeddings")

    async def answer(request: Request) -> Response:
        begun = time.perf_counter()
        metrics, most = service.metrics, service.limits.max_concurrent_requests
        service.active += 1
        metrics.active.set(service.active)
        try:
            if service.active > most:
                raise Refusal(
                    429, "Overloaded",
                    f"Model is overloaded: {most:,} requests are not answered yet; try again later",
                )
            response = await function(request)
        except Refusal as refusal:
            again = {"Retry-After": "1"} if refusal.status == 429 else None
            response = _json(refusal.body(openai=openai), again, status=refusal.status)
        except ClientDisconnect:
            metrics.abandoned.inc()
            return Response(status_code=499)  # which nobody reads
        finally:
            service.active -= 1
            metrics.active.set(service.active)
        service.answered += 1
        metrics.requests.labels(path, str(response.status_code)).inc()
        metrics.seconds.labels(path).observe(time.perf_counter() - begun)
        return _last(response) if service.closing else response

    return answer


def _plain(service: Service, function: Endpoint) -> Endpoint:
    """Return a function that answers requests without counting them."""

    async def answer(request: Request) -> Response:
        try:
            response = await function(request)
        except Refusal as refusal:
            response = _json(refusal.body(), status=refusal.status)
        return _last(response) if service.closing else response

    return answer


def _last(response: Response) -> Response:
    """Let a response be the last one of its connection."""
    response.headers["Connection"] = "close"
    return response


def _timings(job: Job, begun: float) -> dict[str, str]:
    """Return the headers that say how long a request took, in milliseconds."""
    total = time.perf_counter() - begun
    characters = sum(len(text) if isinstance(text, str) else sum(map(len, text))
                     for text in job.texts)
    seconds = {
        "x-compute-time": total, "x-total-time": total, "x-tokenization-time": job.seconds,
        "x-queue-time": job.begun - job.accepted, "x-inference-time": job.done - job.begun,
    }
    return {
        "x-compute-type": "cpu", "x-compute-characters": str(characters),
        "x-compute-tokens": str(job.tokens),
    } | {name: str(int(1000 * value)) for name, value in seconds.items()}


def _json(content: Any, headers: Any = None, *, status: int = 200) -> Response:
    body = json.dumps(content, separators=(",", ":")).encode()
    return Response(body, status, headers, media_type=_JSON)
