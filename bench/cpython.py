"""CPython's ThreadPoolExecutor on the work of `cpython.ts`, which runs this.

Prints one JSON object: a name and a median for each measurement. Every pool has
two workers, is warm before the clock starts, and is shut down. Results are
checked. What `cpython.ts` measures in batches is measured in the same batches.
"""

import json
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from threading import Event

MAX_WORKERS = 2
ROUND_TRIPS = 2_000
TASKS = 20_000
NUMBERS = range(100_000)
CHUNK_SIZE = 1_000
PAYLOAD_BYTES = 64_000_000
SEEDS = range(1, 5)
MIX_ROUNDS = 200_000


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


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def check(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected}, received {actual}")


def timed(repetitions, run):
    """The median of some runs, in seconds."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return median(times)


def round_trips(pool):
    for value in range(ROUND_TRIPS):
        check(pool.submit(identity, value).result(), value)


def burst(pool):
    futures = [pool.submit(identity, value) for value in range(TASKS)]
    for value, future in enumerate(futures):
        check(future.result(), value)


def map_numbers(pool):
    """Chunks by hand: ThreadPoolExecutor.map has no use for `chunksize`."""
    chunks = [NUMBERS[i : i + CHUNK_SIZE] for i in range(0, len(NUMBERS), CHUNK_SIZE)]
    total = sum(value for values in pool.map(increment_all, chunks) for value in values)
    check(total, sum(NUMBERS) + len(NUMBERS))


def echo_payload(pool, payload):
    check(pool.submit(identity, payload).result() is payload, True)


def split(pool):
    check(list(pool.map(mix, SEEDS)), EXPECTED)


def first_result():
    with ThreadPoolExecutor(MAX_WORKERS) as pool:
        check(pool.submit(identity, 7).result(), 7)


def bytes_a_pending_future(pool, pending):
    opened = Event()
    gates = [pool.submit(opened.wait) for _ in range(MAX_WORKERS)]
    before = resident_bytes()
    futures = [pool.submit(identity, value) for value in range(pending)]
    after = resident_bytes()
    opened.set()
    for gate in gates:
        check(gate.result(), True)
    for value, future in enumerate(futures):
        check(future.result(), value)
    return (after - before) / pending


EXPECTED = [mix(seed) for seed in SEEDS]


def main(pending):
    payload = bytes(PAYLOAD_BYTES)
    results = {"version": platform.python_version(), "splitSum": sum(EXPECTED)}
    results["firstResultMs"] = timed(20, first_result) * 1e3
    with ThreadPoolExecutor(MAX_WORKERS) as pool:
        burst(pool)
        results["roundTripMicros"] = timed(5, lambda: round_trips(pool)) / ROUND_TRIPS * 1e6
        results["tasksPerSecond"] = TASKS / timed(5, lambda: burst(pool))
        results["mappedPerSecond"] = len(NUMBERS) / timed(5, lambda: map_numbers(pool))
        results["payloadMs"] = timed(5, lambda: echo_payload(pool, payload)) * 1e3
        results["splitMs"] = timed(5, lambda: split(pool)) * 1e3
        results["pendingBytes"] = bytes_a_pending_future(pool, pending)
    print(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]))
