"""A server that answers HTTP requests with a trained model: `bertsent serve`.

`served.py` knows models, and `forms.py` the forms of requests and responses, those of
text-embeddings-inference. A request is a `Job` (`jobs.py`), and the thread of the `Batcher`
(`batcher.py`) computes the sequences of all jobs. `app.py` joins these to an application of
Starlette, and `server.py` runs it with uvicorn. `metrics.py` counts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
