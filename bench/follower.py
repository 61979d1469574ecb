"""The parts of a daemon in a process of its own, so that its memory and its interpreter lock are its own.

`python -m bench.follower FILE`: FILE is a pickle of `Order`. Says on its output, a line of JSON each, when every table
streams, and at the end what it took. Ends when its input does.
"""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from bench.stage import Stage, peak_rss_mb
from config.settings import Settings
from daemon.lifecycle import Stop
from daemon.parts import Parts
from daemon.startup import prepare
from model.position import Position
from stores.mysql import binlog_end, connect_source, probe

POLL_S = 0.005
LIMIT_S = 1800.0
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Order:
    """What a follower has to do."""

    settings: Settings
    target: Position | None
    """Catch up with this and end; None: follow until told to end."""


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a catch-up took: from the start of the threads until the checkpoint covered the target."""

    seconds: float
    cpu_seconds: float
    """Processor time of the follower meanwhile: what other work there is on the machine does not change it much."""
    peak_rss_mb: float


def catch_up(stage: Stage) -> CaughtUp:
    """Let a new follower go from the store's checkpoint to the end of the source's binlog. Raises RuntimeError."""
    with closing(connect_source(stage.settings.source)) as connection:
        target = binlog_end(connection, probe(connection))
    with _process(stage, Order(stage.settings, target)) as child:
        said = _heard(child)
    return CaughtUp(said["seconds"], said["cpu_seconds"], said["peak_rss_mb"])


@contextmanager
def following(stage: Stage) -> Iterator[Callable[[], float]]:
    """A follower that streams every table; call what is given to end it, the answer is its peak memory in MB.

    Raises RuntimeError.
    """
    with _process(stage, Order(stage.settings, None)) as child:
        _heard(child)

        def end() -> float:
            assert child.stdin is not None
            child.stdin.close()
            return float(_heard(child)["peak_rss_mb"])

        yield end


@contextmanager
def _process(stage: Stage, order: Order) -> Iterator[subprocess.Popen[str]]:
    file = stage.folder / "order.pickle"
    file.touch(mode=0o600)
    file.write_bytes(pickle.dumps(order))
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.follower", str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
        if child.stdin is not None:
            child.stdin.close()
        child.wait(timeout=60)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _heard(child: subprocess.Popen[str]) -> dict[str, Any]:
    output: IO[str] | None = child.stdout
    assert output is not None
    line = output.readline()
    if not line:
        raise RuntimeError(f"the follower ended with exit code {child.wait()}")
    said: dict[str, Any] = json.loads(line)
    return said


def main(path: str) -> None:
    """Run what the order says."""
    order: Order = pickle.loads(Path(path).read_bytes())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stop = Stop()
    parts = Parts(order.settings, prepare(order.settings, assess_first=False), stop)
    begun = time.perf_counter(), time.process_time()
    parts.start()
    try:
        _until(parts, order.target)
        _say(begun)
        if order.target is None:
            threading.Thread(target=_listen, args=(stop,), daemon=True).start()
            while not stop.wait(1.0):
                parts.housekeeping()
            _say(begun)
    finally:
        stop.request("done")
        parts.join(30.0)
        parts.close()


def _say(begun: tuple[float, float]) -> None:
    seconds, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_rss_mb": peak_rss_mb()}), flush=True)


def _listen(stop: Stop) -> None:
    sys.stdin.read()
    stop.request("told")


def _until(parts: Parts, target: Position | None) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not (parts.reached(target) if target is not None else parts.everything_streams()):
        failure = parts.failure()
        if failure is not None:
            raise failure
        if time.monotonic() > deadline:
            raise TimeoutError(f"the follower did not get there within {LIMIT_S:.0f} s")
        parts.housekeeping()
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(sys.argv[1])
