"""The server: forms, limits, batches, and real processes under load."""

import asyncio
import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import fails, maker
from test_classifier import make_texts

from bertsent import BertClassifier, BertEncoder, BertRegressor
from bertsent.classifier import open_predictor
from bertsent.cli.parser import SERVING_LIMITS

for name in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(name)

from asgi_client import Client  # noqa: E402

from bertsent.serving import (  # noqa: E402
    Limits,
    Service,
    app as app_module,
    bind,
    open_served,
    protocol as protocol_module,
    run_server,
    server as server_module,
)
from bertsent.serving.batcher import Batcher, Overloaded  # noqa: E402
from bertsent.serving.forms import (  # noqa: E402
    Refusal,
    parse_embed,
    parse_openai,
    parse_predict,
)
from bertsent.serving.metrics import Metrics  # noqa: E402

TEXTS = make_texts(24, seed=5)[0]
LONG = " ".join(["good movie"] * 120)  # in many windows
MIXED = [*TEXTS, "", "one two " * 9, LONG]


@pytest.fixture(scope="module")
def saved(base, tmp_path_factory):
    """Return the directory of a classifier."""
    directory = tmp_path_factory.mktemp("served") / "teams"
    maker(base)().fit(*make_texts(40)).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def served(saved):
    return open_served(saved, {"n_threads": 1})


def as_matrix(rows, names):
    """Return the scores of answers in the order of the outputs."""
    return np.array([[next(e["score"] for e in row if e["label"] == name) for name in names]
                     for row in rows])


# --- forms --------------------------------------------------------------------------------


def test_forms_of_predict():
    def parsed(content):
        return parse_predict(json.dumps(content).encode())[:3]

    assert parsed({"inputs": "a"}) == (["a"], True, False)
    assert parsed({"inputs": ["a"]}) == (["a"], True, False)
    assert parsed({"inputs": ["a", "b"], "raw_scores": True}) == ([("a", "b")], True, True)
    assert parsed({"inputs": [["a"], ["b"]], "other": 1}) == (["a", "b"], False, False)
    assert parsed({"inputs": [["a", "b"], ["c", "d"]], "truncate": None}) == (
        [("a", "b"), ("c", "d")], False, False,
    )


@pytest.mark.parametrize(
    "parse, content, status, message",
    [
        (parse_predict, b"{", 400, "not JSON"),
        (parse_predict, b"\xff\xfe", 400, "not JSON"),
        (parse_predict, b"[" * 100_000, 400, "nested too deeply"),
        (parse_predict, b'{"inputs": 1' + b"0" * 5000 + b"}", 400, "not JSON"),
        (parse_predict, b"[]", 422, "must be an object.*an empty list"),
        (parse_predict, b"{}", 422, "`inputs` is missing"),
        (parse_predict, b'{"inputs": 3}', 422, "`inputs` must be a text.* not 3"),
        (parse_predict, b'{"inputs": []}', 400, "cannot be empty"),
        (parse_predict, b'{"inputs": ["a", "b", "c"]}', 422, "not a list of 3 texts; several"),
        (parse_predict, b'{"inputs": ["a", 1]}', 422, "`inputs` must be a list of one text"),
        (parse_predict, b'{"inputs": [["a"], []]}', 422, r"`inputs`\[1\] must be .*0 texts"),
        (parse_predict, b'{"inputs": [["a"], "b"]}', 422, r"`inputs`\[1\] must be "),
        (parse_predict, b'{"inputs": [["a"], ["b", "c"]]}', 422, "single texts and pairs"),
        (parse_predict, b'{"inputs": "a", "raw_scores": 1}', 422, "`raw_scores` must be true"),
        (parse_predict, b'{"inputs": "a", "truncate": "no"}', 422, "`truncate` must be true"),
        (parse_predict, b'{"inputs": "a", "truncation_direction": "up"}', 422, '"left" or'),
        (parse_embed, b'{"inputs": [1, 2]}', 422, r"`inputs`\[0\].*ids of tokens are not"),
        (parse_embed, b'{"inputs": [[1, 2]]}', 422, r"`inputs`\[0\].*ids of tokens are not"),
        (parse_embed, b'{"inputs": [["a", "b", "c"]]}', 422, r"`inputs`\[0\].*not a list of 3$"),
        (parse_embed, b'{"inputs": [["a", "b"], "c"]}', 422, "single texts and pairs"),
        (parse_embed, b'{"inputs": []}', 400, "cannot be empty"),
        (parse_embed, b'{"inputs": null}', 422, "not null"),
        (parse_embed, b'{"inputs": "a", "prompt_name": "query"}', 422, "`prompt_name` is not"),
        (parse_embed, b'{"inputs": "a", "dimensions": 0}', 422, "`dimensions` must be"),
        (parse_embed, b'{"inputs": "a", "dimensions": true}', 422, "`dimensions` must be"),
        (parse_openai, b'{"inputs": "a"}', 422, "`input` is missing"),
        (parse_openai, b'{"input": "a", "encoding_format": "hex"}', 422, "`encoding_format`"),
    ],
)
def test_what_is_not_in_these_forms(parse, content, status, message):
    with pytest.raises(Refusal) as caught:
        parse(content)
    assert caught.value.status == status
    assert re.search(message, caught.value.message)


# --- answers ------------------------------------------------------------------------------


def models(base):
    """Yield names and fitted estimators of every task."""
    texts, labels = make_texts(40)
    numbers = np.arange(40) % 3
    make = maker(base)
    yield "two classes", make().fit(texts, labels), texts
    yield "windows", make(
        inference_long_text="windows", stride=3, long_text="windows"
    ).fit(texts, numbers), MIXED
    several = [["a", "b"][:n] for n in numbers]
    yield "several labels", make().fit(texts, several), MIXED
    yield "ordered", make(ordinal=True).fit(texts, numbers), texts
    yield "members", make(members=2, words=True).fit(texts, labels), MIXED
    yield "html", make(strip_html=True).fit(texts, labels), ["<b>good</b> &lt;", "bad end"]
    pairs = list(zip(texts, texts[::-1], strict=True))
    yield "pairs", make().fit(pairs, labels), [*pairs, (LONG, "good"), ("bad", LONG)]
    yield "number", BertRegressor(
        base, max_length=16, epochs=1, batch_size=8, random_state=0, verbose=0, n_threads=1,
    ).fit(texts, numbers + 0.5), MIXED


def as_inputs(texts):
    return [[text] if isinstance(text, str) else list(text) for text in texts]


def test_answers_of_every_task_are_those_of_the_model(base, tmp_path):
    for number, (name, fitted, texts) in enumerate(models(base)):
        directory = tmp_path / str(number)
        fitted.save_pretrained(directory)
        ready = open_predictor(directory, {"n_threads": 2})
        limits = Limits(max_client_batch_size=100, max_batch_tokens=64)
        inputs = as_inputs(texts)
        single = [("/predict", {"inputs": each if len(each) > 1 else each[0]}) for each in inputs]
        raw = ("/predict", {"inputs": inputs, "raw_scores": True})
        answers = Client(open_served(directory, {"n_threads": 1}), limits).all(
            ("/predict", {"inputs": inputs}), raw, ("/info",), *single
        )
        assert {status for status, _, _ in answers} == {200}, name
        (_, _, batch), (_, _, logits), (_, _, info), *each = answers
        names = ready.objective.label_names
        expected = ready.logits(texts)
        assert (as_matrix(logits, names) == expected).all(), name
        if ready.objective.link != "identity":
            expected = ready.predict_proba(texts)
        assert (as_matrix(batch, names) == expected).all(), name
        assert (as_matrix([found for _, _, found in each], names) == expected).all(), name
        for row in batch:
            scores = [output["score"] for output in row]
            assert scores == sorted(scores, reverse=True) and len(row) == len(names)
        assert info["model_id"] == str(number)  # the name of the directory
        assert info["model_type"]["classifier"]["id2label"] == dict(
            zip(map(str, range(len(names))), names, strict=True)
        )
        if name == "pairs":
            right, wrong = Client(open_served(directory, {"n_threads": 1}), limits).all(
                ("/embed", {"inputs": inputs}), ("/embed", {"inputs": inputs[0]})
            )
            expected = BertClassifier.from_pretrained(directory).encode(texts)
            assert (np.array(right[2], np.float32) == expected).all()
            assert wrong[0] == 422 and 'such as [["first text", "second' in wrong[2]["error"]
        assert (info["task"], info["decision"]) == (
            ready.objective.problem_type, ready.objective.decision
        )


def test_vectors_of_an_encoder_and_of_a_classifier(base, saved, served):
    for opened, expected in (
        (open_served(base, {"n_threads": 1}), BertEncoder(base).fit(MIXED).transform(MIXED)),
        (served, BertClassifier.from_pretrained(saved).encode(MIXED)),
    ):
        limits = Limits(max_client_batch_size=100, max_batch_tokens=100)
        batch, one, plain, short, openai, coded, info = Client(opened, limits).all(
            ("/embed", {"inputs": MIXED}), ("/embed", {"inputs": MIXED[0]}),
            ("/embed", {"inputs": MIXED[:2], "normalize": False}),
            ("/embed", {"inputs": MIXED[:2], "dimensions": 3}),
            ("/v1/embeddings", {"input": MIXED[:2], "model": "any"}),
            ("/v1/embeddings", {"input": MIXED[0], "encoding_format": "base64"}), ("/info",),
        )
        assert info[2]["model_id"] == (base.name if opened is not served else "teams")
        assert (np.array(batch[2], np.float32) == expected).all()
        assert (np.array(one[2], np.float32) == expected[:1]).all()
        lengths = np.linalg.norm(plain[2], axis=1)
        assert np.allclose(np.array(plain[2]) / lengths[:, None], expected[:2], atol=1e-6)
        assert np.abs(lengths - 1).max() > 1e-3
        cut = expected[:2, :3] / np.linalg.norm(expected[:2, :3], axis=1, keepdims=True)
        assert np.allclose(short[2], cut, atol=1e-6)
        content = openai[2]
        assert [row["index"] for row in content["data"]] == [0, 1]
        assert (np.array([r["embedding"] for r in content["data"]], np.float32)
                == expected[:2]).all()
        assert content["object"] == "list" and content["model"] == info[2]["model_id"]
        assert content["usage"]["prompt_tokens"] == int(openai[1]["x-compute-tokens"])
        vector = base64.b64decode(coded[2]["data"][0]["embedding"])
        assert (np.frombuffer(vector, "<f4") == expected[0]).all()


def test_the_root_answers_as_the_model_does(base, served):
    status, _, found = Client(served).all(("/", {"inputs": "good end"}))[0]
    assert status == 200 and {each["label"] for each in found} == {"positive", "negative"}
    encoder = open_served(base, {"n_threads": 1})
    answers = Client(encoder).all(
        ("/", {"inputs": "good end"}), ("/predict", {"inputs": "good"}), ("/info",)
    )
    assert len(answers[0][2][0]) == 32
    assert answers[1][0] == 424 and answers[1][2]["error_type"] == "Backend"
    assert answers[2][2]["model_type"] == {"embedding": {"pooling": "mean"}}


def test_lower_precision(saved):
    given = {"n_threads": 1, "inference_precision": "int8"}
    expected = open_predictor(saved, given).predict_proba(TEXTS)
    batch, info = Client(open_served(saved, given)).all(
        ("/predict", {"inputs": as_inputs(TEXTS)}), ("/info",)
    )
    assert (as_matrix(batch[2], ["negative", "positive"]) == expected).all()
    assert info[2]["model_dtype"] == "int8"


def test_a_parameter_of_classifiers_is_refused_for_an_encoder(base):
    with pytest.raises(ValueError, match="calibrated=True is for classifiers"):
        open_served(base, {"calibrated": True})


# --- limits and errors --------------------------------------------------------------------


def test_errors_say_what_to_do(served):
    client = Client(served, Limits(
        max_client_batch_size=3, max_request_tokens=40, payload_limit=200, body_seconds=0.05
    ))
    cases = [
        (("/predict", {"inputs": as_inputs(["a"] * 4)}), 413, "Validation",
         "batch size 4 > maximum allowed batch size 3"),
        (("/predict", {"inputs": "good " * 60}), 413, "Validation", "more than 200 bytes"),
        (("/predict", {"inputs": "a b c " * 15}), 413, "Validation", "tokens, but a request may"),
        (("/predict", b"{"), 400, "Validation", "not JSON"),
        (("/predict", {"inputs": []}), 400, "Empty", "cannot be empty"),
        (("/predict", {"inputs": ["a", "b"]}), 422, "Validation", "reads single texts; .*are two"),
        (("/embed", {"inputs": [["a", "b"]]}), 422, "Validation",
         'single texts; \\["first text", "second text"\\] are two texts'),
        (("/predict", {"inputs": "a", "truncation_direction": "Left"}), 422, "Validation",
         "is not how this model reads"),
        (("/predict", b'{"inputs": "\\ud800"}'), 422, "Tokenizer", r"`inputs`\[0\]"),
        (("/embed", {"inputs": "a", "dimensions": 33}), 422, "Validation", "the model has 32"),
        (("/nothing", {"inputs": "a"}), 404, "Validation", "there is no /nothing; there are /pred"),
        (("/predict",), 405, "Validation", "Method Not Allowed"),
    ]
    for (_, status, kind, message), answer in zip(
        cases, client.all(*(case[0] for case in cases)), strict=True
    ):
        assert answer[0] == status and answer[2]["error_type"] == kind, answer
        assert re.search(message, answer[2]["error"]), answer


def test_limits_of_the_command_are_those_of_the_server():
    flags = {name: default for name, default, _ in SERVING_LIMITS}
    assert Limits(**flags) == Limits()


def test_errors_of_the_openai_interface(served):
    client = Client(served, Limits(max_client_batch_size=1))
    status, _, body = client.all(("/v1/embeddings", {"input": ["a", "b"]}))[0]
    assert status == 413 and (body["code"], body["type"]) == (413, "Validation")
    assert "batch size 2" in body["message"]


def test_bodies_in_pieces_late_and_of_other_types(served):
    client = Client(served, Limits(payload_limit=30, body_seconds=0.05))

    async def run():
        client.service.start()
        pieces = [b'{"inputs"', b': "good"}']
        assert (await client.one("/predict", chunks=pieces))[0] == 200
        assert (await client.one("/predict", chunks=[b'{"inputs"', b"x" * 30]))[0] == 413
        late = await client.one("/predict", chunks=[b'{"inputs"', None])
        assert late[0] == 408 and "within 0.05 seconds" in late[2]["error"]
        foreign = await client.one("/predict", b'{"inputs": "a"}', kind="text/plain")
        assert foreign[0] == 415 and "application/json" in foreign[2]["error"]
        await asyncio.to_thread(client.service.close)

    asyncio.run(run())


def test_texts_that_would_be_cut(saved):
    opened = open_served(saved, {"n_threads": 1, "inference_long_text": "head"})
    ask = {"inputs": [["good"], [LONG]]}
    answers = Client(opened).all(
        ("/predict", ask), ("/predict", ask | {"truncate": False}),
        ("/predict", {"inputs": [["good"], ["bad"]], "truncate": False}),
    )
    assert [status for status, _, _ in answers] == [200, 422, 200]
    assert "`inputs`[1] has more than the 16 tokens" in answers[1][2]["error"]
    tail = open_served(saved, {"n_threads": 1, "inference_long_text": "tail"})
    assert Client(tail).all(("/predict", ask | {"truncation_direction": "left"}))[0][0] == 200


class Held:
    """A model that waits before it computes anything, until it is released."""

    def __init__(self, served):
        self.served, self.free, self.begun = served, threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self.served, name)

    def score(self, *args):
        self.begun.set()
        assert self.free.wait(30)
        return self.served.score(*args)


def test_too_much_that_waits_is_refused(served):
    for limits, message in (
        (Limits(max_queue_tokens=12), "more than 12 tokens would wait"),
        (Limits(max_concurrent_requests=3), "3 requests are not answered yet"),
    ):
        held = Held(served)
        client = Client(held, limits)

        async def run(held=held, client=client):
            client.service.start()
            first = asyncio.create_task(client.one("/embed", {"inputs": "good end"}))
            await asyncio.to_thread(held.begun.wait, 30)
            others = [
                asyncio.create_task(client.one("/embed", {"inputs": "bad end"})) for _ in range(6)
            ]
            await asyncio.sleep(0.05)
            held.free.set()
            answers = await asyncio.gather(first, *others)
            await asyncio.to_thread(client.service.close)
            return answers

        answers = asyncio.run(run())
        statuses = [status for status, _, _ in answers]
        assert statuses[0] == 200 and set(statuses) == {200, 429}
        refused = [answer for answer in answers if answer[0] == 429]
        assert all(message in body["error"] for _, _, body in refused)
        assert all(head["retry-after"] == "1" for _, head, _ in refused)


def test_nothing_is_computed_for_a_client_that_went_away(served):
    held = Held(served)
    client = Client(held, Limits(max_batch_tokens=1))

    async def run():
        client.service.start()
        first = asyncio.create_task(client.one("/predict", {"inputs": "good end"}))
        await asyncio.to_thread(held.begun.wait, 30)
        leave = asyncio.Event()
        gone = asyncio.create_task(client.one("/predict", {"inputs": LONG}, leave=leave))
        await asyncio.sleep(0.05)
        leave.set()
        assert (await gone)[0] == 499
        held.free.set()
        assert (await first)[0] == 200
        await asyncio.to_thread(client.service.close)
        return (await client.one("/metrics"))[2].decode()

    told = asyncio.run(run())
    assert "bertsent_requests_abandoned_total 1.0" in told
    assert "bertsent_batch_sequences_count 1.0" in told and "bertsent_texts_total 1.0" in told
    assert "bertsent_queue_tokens 0.0" in told


def test_an_error_of_one_request_is_not_that_of_others(served):
    marked = served.read(["worst worst worst"], True).parts[0].tokens.ids.tolist()

    class Broken(Held):
        def score(self, number, vectors, ids, offsets, types):
            super().score(number, vectors, ids[:0], offsets[:1], None)
            sequences = np.split(ids, offsets[1:-1])
            if any(sequence.tolist() == marked for sequence in sequences):
                raise FloatingPointError("no number")
            return self.served.score(number, vectors, ids, offsets, types)

    held = Broken(served)
    client = Client(held)

    async def run():
        client.service.start()
        texts = ["good", "bad", "worst worst worst", "end"]
        tasks = [asyncio.create_task(client.one("/embed", {"inputs": text})) for text in texts]
        await asyncio.to_thread(held.begun.wait, 30)
        held.free.set()
        answers = await asyncio.gather(*tasks)
        assert client.service.healthy
        await asyncio.to_thread(client.service.close)
        return answers

    answers = asyncio.run(run())
    assert [status for status, _, _ in answers] == [200, 200, 424, 200]
    assert answers[2][2] == {"error": "Backend error: no number", "error_type": "Backend"}


# --- batches ------------------------------------------------------------------------------


def batches_of(served, jobs, **options):
    """Return the sequences of each batch, as numbers of jobs, and the jobs as they were done."""
    seen, done = [], []
    batcher = Batcher(served.score, done.extend, Metrics(), **options)
    take = batcher._take

    def watched():
        batch = take()
        seen.append([jobs.index(place.job) for place in batch])
        return batch

    batcher._take = watched
    for job in jobs:
        batcher.put(job)
    batcher.start()
    batcher.close()
    return seen, [jobs.index(job) for job in done]


def test_short_requests_do_not_wait_for_long_ones(served):
    jobs = [served.read([LONG] * 8, False), *(served.read([text], False) for text in TEXTS[:6])]
    assert jobs[0].unfinished > 100
    seen, done = batches_of(served, jobs, batch_tokens=64, queue_tokens=10**6)
    # The short ones are done in the first batches, and the long one goes on in each.
    assert done[-1] == 0 and sorted(done[:-1]) == [1, 2, 3, 4, 5, 6]
    first = [number for batch in seen[:2] for number in batch]
    assert set(first) == set(range(7))
    assert all(0 in batch for batch in seen)
    sizes = [64 >= sum(16 if number == 0 else 5 for number in batch) for batch in seen]
    assert all(sizes)
    assert sum(len(batch) for batch in seen) == jobs[0].parts[0].results.shape[0] + 6


def test_two_long_requests_share_the_time(served):
    jobs = [served.read([LONG] * 4, False), served.read([LONG] * 4, True)]
    seen, done = batches_of(served, jobs, batch_tokens=64, queue_tokens=10**6)
    assert all(abs(batch.count(0) - batch.count(1)) <= 1 for batch in seen[:-1])
    assert sorted(done) == [0, 1]


def test_the_queue_takes_one_job_of_any_size(served):
    jobs = [served.read([LONG], False), served.read(["good"], False)]
    with pytest.raises(Overloaded):
        batches_of(served, jobs, batch_tokens=64, queue_tokens=10)
    seen, _ = batches_of(served, jobs[:1], batch_tokens=1, queue_tokens=10)
    assert all(len(batch) == 1 for batch in seen)


# --- the end of a server ------------------------------------------------------------------


class Nothing:
    """A model that is never computed."""

    objective, dimensions, name, score = None, 3, "nothing", None


def exchange(port, request):
    """Return what a server answers to bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def asking(path, body=None):
    """Return the bytes of a request."""
    if body is None:
        return b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path
    return (b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (path, len(body), body))


def run_here(service, drive):
    """Run a server in this thread, and `drive` in another one.

    `drive` gets the port and an event that is set when the server has ended. Return its result, and
    whether a second signal stopped the server.
    """
    listener = bind("127.0.0.1", 0)
    ended, found, hanging, stopped = threading.Event(), [], [], False

    def driving():
        found.append(drive(listener.getsockname()[1], ended))

    def watch():
        while not ended.wait(30):
            hanging.append(True)
            terminate()

    threads = [threading.Thread(target=each, daemon=True) for each in (driving, watch)]
    others = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)]
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # one that is late does no harm
    threads[1].start()
    try:
        run_server(service, listener, lambda address: threads[0].start())
    except KeyboardInterrupt:
        stopped = True
    finally:
        ended.set()
        threads[0].join(60)
        signal.signal(signal.SIGTERM, before)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)] == others
    assert found and not hanging
    return found[0], stopped


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def test_connections_that_are_not_accepted_yet_are_answered():
    late, ports = [], []

    class Closing(Service):
        """Connects clients when the server ends, which had no time to accept them before."""

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "closing" and value:
                for _ in range(5):
                    late.append(socket.create_connection(("127.0.0.1", ports[0]), timeout=60))
                    late[-1].sendall(asking(b"/embed", b"{}"))

    def drive(port, ended):
        ports.append(port)
        terminate()
        wait_until(lambda: len(late) == 5)
        found = []
        for connection in late:
            with connection:
                try:
                    found.append(connection.recv(12))
                except OSError as error:
                    found.append(repr(error))
        return found

    service = Closing(Nothing(), Limits())
    assert run_here(service, drive) == ([b"HTTP/1.1 422"] * 5, False)
    assert service.answered == 5


@pytest.mark.parametrize("signals", [1, 2])
def test_a_client_that_reads_no_answer_does_not_keep_the_server(signals, monkeypatch):
    monkeypatch.setattr(
        server_module, "_SENDING_SECONDS", 0.1 if signals == 1 else 600
    )
    asked = []

    class Large(Service):
        def information(self):
            asked.append(True)
            return "long" * 5_000_000

    def drive(port, ended):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(2 * asking(b"/info"))
            wait_until(lambda: len(asked) == 2)
            terminate()
            if signals == 2:
                wait_until(lambda: service.closing)
                terminate()
            return ended.wait(60)

    service = Large(Nothing(), Limits())
    assert run_here(service, drive) == (True, signals == 2)


def test_a_second_signal_is_not_caught_by_what_is_running(monkeypatch):
    def interrupted(body):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        raise Refusal(400, "Validation", "interrupted twice")

    monkeypatch.setattr(app_module, "parse_embed", interrupted)

    def drive(port, ended):
        return exchange(port, asking(b"/embed", b"{}"))

    assert run_here(Service(Nothing(), Limits()), drive)[1]


def test_signals_that_are_ignored_stay_so():
    ignored = (signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}

    def drive(port, ended):
        for number in ignored:
            os.kill(os.getpid(), number)
        # Without a handler, nothing is pending, and the server takes requests.
        found = [signal.getsignal(number) for number in (*ignored, signal.SIGTERM)]
        terminate()
        return found

    try:
        found, stopped = run_here(Service(Nothing(), Limits()), drive)
        after = [signal.getsignal(number) for number in ignored]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert found[:2] == after == [signal.SIG_IGN] * 2 and callable(found[2]) and not stopped


def test_headers_have_limits():
    def with_header(size):
        return b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nA: " \
            + size * b"a" + b"\r\n\r\n"

    def drive(port, ended):
        found = [exchange(port, with_header(size)) for size in (65_000, 65_536)]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"GET /ready HTTP/1.1\r\nA: ")
            try:
                for _ in range(1000):  # more than the buffers of the system take
                    connection.sendall(65_536 * b"a")
                found.append("all was read")
            except OSError as error:
                found.append(type(error))
        terminate()
        return found

    (small, large, endless), _ = run_here(Service(Nothing(), Limits()), drive)
    assert small.startswith(b"HTTP/1.1 200 ")
    assert large.startswith(b"HTTP/1.1 431 ") and b"more than 65,536 bytes" in large
    assert endless in (BrokenPipeError, ConnectionResetError)


def test_headers_that_do_not_arrive(monkeypatch):
    def closes(port, begin):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            begin(connection)
            return connection.recv(1)

    def drive(port, ended):
        def after_an_answer(connection):
            connection.sendall(asking(b"/ready"))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            monkeypatch.setattr(protocol_module, "_HEAD_SECONDS", 0.05)
            connection.sendall(b"\r\n")

        monkeypatch.setattr(protocol_module, "_HEAD_SECONDS", 0.05)
        found = [
            closes(port, lambda connection: None),
            closes(port, lambda connection: connection.sendall(b"GET /ready HTTP/1.1\r\n")),
        ]
        monkeypatch.setattr(protocol_module, "_HEAD_SECONDS", 600)
        found.append(closes(port, after_an_answer))
        terminate()
        return found

    assert run_here(Service(Nothing(), Limits()), drive) == ([b"", b"", b""], False)


def test_hosts_that_are_not_this_machine_are_refused():
    hosts = [b"localhost", b"LOCALHOST:8080", b"127.0.0.1:80", b"[::1]:80", b"a.example:80",
             b"localhost.example", b"127.0.0.1.example", b"", b"[x"]

    def drive(port, ended):
        request = b"GET /ready HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
        found = [exchange(port, request % host) for host in hosts]
        terminate()
        return found

    found, _ = run_here(Service(Nothing(), Limits()), drive)
    assert [answer[9:12] for answer in found] == [b"200"] * 4 + [b"421"] * 5
    assert b"let a proxy set the header" in found[4]
    for host, names in (("0.0.0.0", None), ("127.0.0.2", {"127.0.0.2"}), ("LocalHost", set())):
        with bind(host, 0) as listener:
            expected = names if names is None else names | {"localhost", "127.0.0.1", "[::1]"}
            assert server_module._hosts(listener, host) == expected


# --- processes ----------------------------------------------------------------------------


class Server:
    """A server in a process of its own."""

    def __init__(self, directory, *flags, idle_seconds=0.5):
        code = (f"from bertsent.serving import server; server._IDLE_SECONDS = {idle_seconds}; "
                "from bertsent.cli import main; raise SystemExit(main())")
        command = [sys.executable, "-c", code, "serve", str(directory), "--port", "0",
                   "--threads", "1", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.said = ""
        while not (found := re.search(r"at http://127\.0\.0\.1:(\d+),", self.said)):
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
        self.port = int(found[1])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, path, content=None, connection=None):
        connection = connection or self.connect()
        if content is None:
            connection.request("GET", path)
        else:
            connection.request(
                "POST", path, json.dumps(content), {"Content-Type": "application/json"}
            )
        response = connection.getresponse()
        return response.status, response.read()

    def refuses(self):
        """Return whether the server takes no more connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # in between
        return False

    def end(self, number=signal.SIGTERM):
        """Return the exit code after a signal, and what was said."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, self.said + said

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def test_a_server_answers_many_clients_at_once(saved):
    texts = make_texts(60, seed=9)[0] + [LONG] * 3
    expected = BertClassifier.from_pretrained(saved).predict_proba(texts)
    found = {}
    with Server(saved) as server:
        assert "single label classification, 2 classes (negative, positive)" in server.said

        def work(numbers):
            connection = server.connect()
            for number in numbers:
                status, body = server.ask("/predict", {"inputs": texts[number]}, connection)
                assert status == 200
                found[number] = as_matrix([json.loads(body)], ["negative", "positive"])[0]

        threads = [threading.Thread(target=work, args=(range(n, 63, 8),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all((found[number] == expected[number]).all() for number in range(63))
        assert server.ask("/health")[0] == server.ask("/ready")[0] == 200
        told = server.ask("/metrics")[1].decode()
        assert 'bertsent_requests_total{endpoint="/predict",status="200"} 63.0' in told
        code, said = server.end()
    assert code == 0 and "63 requests were answered" in said


def test_no_request_is_lost_when_a_server_ends_under_load(saved):
    """Clients keep their connections, and work waits in the queue, when SIGTERM comes."""
    outcomes = []
    # On a busy machine, clients may need long to send their last request.
    with Server(saved, "--max-batch-tokens", "64", idle_seconds=50) as server:

        def work(seed):
            connection, count = server.connect(), 0
            while True:
                inputs = as_inputs([LONG] * 4) if seed % 2 else as_inputs(TEXTS[:3])
                try:
                    status, body = server.ask("/predict", {"inputs": inputs}, connection)
                except ConnectionRefusedError:  # it was never accepted
                    outcomes.append("refused")
                    return
                except Exception as error:
                    outcomes.append(f"lost: {error!r} after {count}")
                    return
                assert status == 200 and len(json.loads(body)) == len(inputs)
                outcomes.append("answered")
                count += 1

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
        for thread in threads:
            thread.start()
        wait_until(
            lambda: outcomes.count("answered") >= 30
            or not all(thread.is_alive() for thread in threads)
        )
        code, said = server.end()
        for thread in threads:
            thread.join()
    assert code == 0, said
    assert set(outcomes) == {"answered", "refused"}
    assert outcomes.count("refused") == 12
    assert f"{outcomes.count('answered'):,} requests were answered" in said


def test_ctrl_c_and_idle_connections(saved):
    with Server(saved) as server:
        idle = server.connect()
        assert server.ask("/predict", {"inputs": "good"}, idle)[0] == 200
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            silent.sendall(b"POST /predict HTTP/1.1\r\n")  # and nothing more
            code, said = server.end(signal.SIGINT)
    assert code == 0 and "1 request was answered" in said and "Traceback" not in said


def test_a_second_signal_ends_at_once(saved):
    with Server(saved) as server:
        # A body that does not arrive keeps the server for up to 30 seconds.
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            silent.sendall(b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\n"
                           b"Content-Length: 50\r\n\r\n{")
            wait_until(
                lambda: b"bertsent_requests_active 1.0" in server.ask("/metrics")[1]
            )
            server.process.send_signal(signal.SIGTERM)
            wait_until(server.refuses)
            code, said = server.end()
    assert code == 143 and "requests are lost" in said and "Traceback" not in said


def test_problems_of_the_command_are_one_line(saved, tmp_path, capsys, monkeypatch):
    def line_of(*args):
        fails(["serve", *map(str, args)])
        said = capsys.readouterr().err.strip()
        assert said.count("\n") == 0, said
        return said

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert line_of(saved, "--port", port) == (
            f"bertsent: error: port {port} of 127.0.0.1 is in use; choose another one with "
            "--port, or --port 0 for any that is free"
        )
    assert "missing" in line_of(tmp_path / "missing", "--port", 0)
    assert "--host 'no such host' is not an address" in line_of(saved, "--host", "no such host")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'bertsent[serve]'" in line_of(saved)
