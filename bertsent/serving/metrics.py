"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

__all__ = ["Metrics"]

# Powers of two, up to 67 seconds.
_SECONDS = tuple(2.0**power for power in range(-10, 7))
_NUMBERS = tuple(2.0**power for power in range(0, 15, 2))


class Metrics:
    """Counters and histograms of one server; none of them knows a text.

    Attributes
    ----------
    requests : Counter
        Answered requests, by ``endpoint`` and HTTP ``status``.
    abandoned : Counter
        Requests whose client went away.
    texts, tokens : Counter
        Texts that were computed, and their tokens.
    seconds, waited : Histogram
        How long requests took, from the first byte to the answer, and how long they waited for
        their first batch.
    batch_seconds, batch_sequences, batch_tokens : Histogram
        Of each batch.
    queue_tokens, active : Gauge
        Tokens that wait, and requests that are not answered yet.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "bertsent_requests", "Answered requests", ["endpoint", "status"], registry=registry
        )
        self.abandoned = Counter(
            "bertsent_requests_abandoned", "Requests whose client went away", registry=registry
        )
        self.texts = Counter("bertsent_texts", "Texts that were computed", registry=registry)
        self.tokens = Counter(
            "bertsent_tokens", "Tokens of the texts that were computed", registry=registry
        )
        self.seconds = Histogram(
            "bertsent_request_seconds", "Time from request to answer", ["endpoint"],
            buckets=_SECONDS, registry=registry,
        )
        self.waited = Histogram(
            "bertsent_queue_seconds", "Time that a request waited for its first batch",
            buckets=_SECONDS, registry=registry,
        )
        self.batch_seconds = Histogram(
            "bertsent_batch_seconds", "Time to compute a batch", buckets=_SECONDS,
            registry=registry,
        )
        self.batch_sequences = Histogram(
            "bertsent_batch_sequences", "Sequences of a batch", buckets=_NUMBERS,
            registry=registry,
        )
        self.batch_tokens = Histogram(
            "bertsent_batch_tokens", "Tokens of a batch", buckets=_NUMBERS, registry=registry
        )
        self.queue_tokens = Gauge(
            "bertsent_queue_tokens", "Tokens that wait for a batch", registry=registry
        )
        self.active = Gauge(
            "bertsent_requests_active", "Requests that are not answered yet", registry=registry
        )

    def text(self) -> bytes:
        """Return all of them in the text format of Prometheus."""
        return generate_latest(self._registry)
