"""Do numbered tasks in child processes, each within a limit of memory and of time."""

import json
import os
import resource
import select
import signal
from pathlib import Path


def limit_memory(more):
    """Limit the address space of this process to what it has, and `more` bytes."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))


def run(task, numbers, *, memory, seconds, batch, after=None, of_processor=None):
    """Yield (number, outcome, text) of tasks, which are done in child processes.

    Parameters
    ----------
    task : callable
        Takes a number, and returns an outcome and a text.
    numbers : iterable of int
    memory : int
        Bytes of address space that a child may take besides what it has at its beginning.
    seconds : float
        Time for a task. A child that takes longer or ends is a finding, and another one goes on.
    batch : int
        Tasks that one child does.
    of_processor : float or None, default=None
        Seconds of the processor for a task, which do not depend on what else the machine does.
    after : callable or None, default=None
        Called with the process id of a child that has ended.
    """
    numbers = list(numbers)
    while numbers:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                os.close(reading)
                _work(task, numbers[:batch], writing, memory, of_processor or 0)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        done, last, line = 0, None, ()
        for line in _read_lines(reading, seconds):
            if line is None:
                os.kill(child, signal.SIGKILL)
                break
            number, *last = line
            if last:
                done += 1
                yield number, *last
        os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if after is not None:
            after(child)
        if done < len(numbers[:batch]):
            text = f"ended with {status}"
            if line is None:
                text = f"took more than {seconds:g} s"
            elif status == -signal.SIGPROF:
                text = f"took more than {of_processor:g} s of the processor"
            yield numbers[done], "finding", text
            done += 1
        del numbers[:done]


def _work(task, numbers, pipe, memory, of_processor):
    """Do tasks in a child process, and write a line before and after each."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(memory)
    with os.fdopen(pipe, "w", buffering=1) as out:
        for number in numbers:
            print(json.dumps([number]), file=out)
            # The signal ends the process.
            signal.setitimer(signal.ITIMER_PROF, of_processor)
            print(json.dumps([number, *task(number)]), file=out)


def _read_lines(reading, seconds):
    """Yield the lines of a pipe as JSON values, and None if one takes too long."""
    rest = b""
    while True:
        ready, _, _ = select.select([reading], [], [], seconds)
        if not ready:
            yield None
            return
        data = os.read(reading, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from map(json.loads, lines)
