"""``bertsent serve``: answer HTTP requests with a saved model."""

from __future__ import annotations

import argparse
import sys

from bertsent.cli.flags import prediction_parameters
from bertsent.cli.parser import SERVING_LIMITS
from bertsent.serving import bind, open_served, require_libraries, run_server
from bertsent.system import write_line


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    require_libraries()
    from bertsent.serving import Limits, Service

    with bind(args.host, args.port) as listener:
        served = open_served(args.directory, prediction_parameters(args))
        limits = Limits(**{name: getattr(args, name) for name, *_ in SERVING_LIMITS})
        threads = f"{served.n_threads} thread{'s' if served.n_threads > 1 else ''}"

        def started(address: str) -> None:
            write_line(
                f"{served.name} ({served.describe()}) at {address}, in {served.precision} with "
                f"{threads}; Ctrl-C ends it", sys.stderr,
            )

        service = Service(served, limits)
        run_server(service, listener, started, args.host)
        answered = service.answered
        many = "request was" if answered == 1 else "requests were"
        write_line(f"{answered:,} {many} answered", sys.stderr)
