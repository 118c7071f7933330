"""CPython's pools on the work of the benches: the other side of `_cpython.ts`.

Started with `threads` or `processes`. Prints its version, then answers each line
`["measurement", n]` on stdin with one number, seconds unless the function says
otherwise. Every pool has two workers, is warm before the clock starts, and is
shut down. Processes start as this Python starts them by default. Results are
checked.
"""

import ctypes
import json
import platform
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from threading import Event

MAX_WORKERS = 2
CHUNK_SIZE = 1_000
SEEDS = range(1, 5)
MIX_ROUNDS = 200_000
BUSY_SECONDS = 1
PR_SET_PDEATHSIG = 1


def identity(value):
    return value


def increment(value):
    return value + 1


def increment_all(values):
    return [value + 1 for value in values]


def mix(seed):
    value = seed
    for step in range(MIX_ROUNDS):
        value = (value * 1_664_525 + step) & 0x3FFFFF
    return value


def clock(_value):
    """When it ran, by a clock that all processes share."""
    return time.time()


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def die_with_parent():
    """For worker processes, which would outlive a parent that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def check(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected}, received {actual}")


class Benches:
    """The measurements, by name."""

    def __init__(self, executor):
        self.executor = executor
        self.pool = self._make_pool()
        self.mixed = [mix(seed) for seed in SEEDS]
        self.payload = b""
        self.spent = []
        for _ in range(5):
            self.burst(2_000)

    def _make_pool(self):
        if self.executor is ProcessPoolExecutor:
            return ProcessPoolExecutor(MAX_WORKERS, initializer=die_with_parent)
        return self.executor(MAX_WORKERS)

    def first_result(self, _n):
        start = time.perf_counter()
        pool = self._make_pool()
        check(pool.submit(identity, 7).result(), 7)
        elapsed = time.perf_counter() - start
        self.spent.append(pool)
        return elapsed

    def round_trips(self, n):
        start = time.perf_counter()
        for value in range(n):
            check(self.pool.submit(identity, value).result(), value)
        return time.perf_counter() - start

    def burst(self, n):
        start = time.perf_counter()
        futures = [self.pool.submit(identity, value) for value in range(n)]
        for value, future in enumerate(futures):
            check(future.result(), value)
        return time.perf_counter() - start

    def map_numbers(self, n):
        numbers = list(range(n))
        start = time.perf_counter()
        check(self._sum_of_map(numbers), n * (n + 1) // 2)
        return time.perf_counter() - start

    def _sum_of_map(self, numbers):
        if self.executor is ProcessPoolExecutor:
            return sum(self.pool.map(increment, numbers, chunksize=CHUNK_SIZE))
        # By hand: ThreadPoolExecutor.map has no use for `chunksize`.
        chunks = [
            numbers[i : i + CHUNK_SIZE] for i in range(0, len(numbers), CHUNK_SIZE)
        ]
        results = self.pool.map(increment_all, chunks)
        return sum(value for values in results for value in values)

    def echo(self, n):
        if len(self.payload) != n:
            self.payload = b"\1" + bytes(n - 2) + b"\2"
        start = time.perf_counter()
        result = self.pool.submit(identity, self.payload).result()
        check((len(result), result[0], result[-1]), (n, 1, 2))
        return time.perf_counter() - start

    def split(self, _n):
        start = time.perf_counter()
        check(list(self.pool.map(mix, SEEDS)), self.mixed)
        return time.perf_counter() - start

    def pending_bytes(self, n):
        """Bytes a pending future; of threads alone, as an `Event` cannot be pickled."""
        opened = Event()
        gates = [self.pool.submit(opened.wait) for _ in range(MAX_WORKERS)]
        before = resident_bytes()
        futures = [self.pool.submit(identity, value) for value in range(n)]
        after = resident_bytes()
        opened.set()
        for gate in gates:
            check(gate.result(), True)
        for value, future in enumerate(futures):
            check(future.result(), value)
        return (after - before) / n

    def done_while_busy(self, n):
        """How many of `n` tasks are done when a loop of a second ends."""
        futures = [self.pool.submit(clock, value) for value in range(n)]
        end = time.perf_counter() + BUSY_SECONDS
        while time.perf_counter() < end:
            pass
        ended = time.time()
        return sum(future.result() <= ended for future in futures)

    def clean_up(self):
        """Ends the pools of `first_result`, after it has answered."""
        while self.spent:
            self.spent.pop().shutdown()


def main(kind):
    benches = Benches(
        {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}[kind]
    )
    print(platform.python_version(), flush=True)
    for line in sys.stdin:
        name, n = json.loads(line)
        print(getattr(benches, name)(n), flush=True)
        benches.clean_up()
    benches.pool.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
