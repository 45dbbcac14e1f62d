"""The stream: uniform, never the same bytes twice, never copied, never seeded unnoticed."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from dpsynth import entropy
from dpsynth.entropy import Stream, system

PASS = 1e-9
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform does not fork")

FORKS = """
import ctypes, json, os, sys, threading
from dpsynth import entropy

how, lie = sys.argv[1], sys.argv[2] == "lie"
stream = entropy.system()
stream.bytes(10)
if lie:                                     # a stream that does not notice a fork
    entropy._streams.clear()
    entropy.os.getpid = lambda: stream._pid
if how == "pid":                            # the child's id is one that the stream has seen before
    entropy.os.getpid = lambda: stream._pid
    how = "python"
libc = ctypes.PyDLL(None)
fork = os.fork if how == "python" else libc.fork          # C code forks without telling Python
if how == "locked":
    stream._lock.acquire()                  # a thread of the parent is drawing while it forks
    fork = os.fork
outputs = []
for _ in range(2):
    reader, writer = os.pipe()
    if fork() == 0:
        os.write(writer, stream.bytes(32).hex().encode())
        os._exit(0)
    os.close(writer)
    outputs.append(os.read(reader, 64).decode())
    os.wait()
if how == "locked":
    stream._lock.release()
outputs.append(stream.bytes(32).hex())
print(json.dumps(outputs))
"""


def family(how: str, lie: bool = False) -> list[str]:
    """What two forked children and then their parent draw."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS, how, "lie" if lie else "truth"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return list(json.loads(done.stdout))


@needs_fork
@pytest.mark.parametrize("how", ["python", "c", "locked", "pid"])
def test_forked_children_never_draw_the_same_bytes(how: str) -> None:
    assert len(set(family(how))) == 3


@needs_fork
@pytest.mark.parametrize("how", ["python", "c"])
def test_a_stream_that_ignores_forks_would_be_seen(how: str) -> None:
    assert len(set(family(how, lie=True))) == 1


def child_draws(queue: multiprocessing.Queue[bytes]) -> None:
    queue.put(system().bytes(32))


@needs_fork
def test_pool_workers_that_inherit_the_stream_draw_apart() -> None:
    system().bytes(1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=child_draws, args=(queue,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    drawn = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert len({*drawn, system().bytes(32)}) == 5


@needs_fork
def test_a_test_stream_refuses_to_cross_a_fork() -> None:
    script = (
        "import os\nfrom dpsynth.entropy import Stream\n"
        "s = Stream.for_tests(b'k')\n"
        "if os.fork() == 0:\n"
        "    try: s.bytes(1)\n"
        "    except RuntimeError: os._exit(7)\n"
        "    os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "7"


@pytest.mark.parametrize("stream", [Stream(), Stream.for_tests(b"k"), [Stream()], {"held": Stream()}])
def test_a_stream_is_never_pickled_or_copied(stream: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never pickled or copied"):
            pickle.dumps(stream, protocol)
    with pytest.raises(TypeError, match="never pickled or copied"):
        copy.deepcopy(stream)


def test_a_stream_is_never_copied_shallowly() -> None:
    with pytest.raises(TypeError, match="never pickled or copied"):
        copy.copy(Stream())


def test_a_stream_is_not_handed_to_a_spawned_process() -> None:
    worker = multiprocessing.get_context("spawn").Process(target=print, args=(Stream(),))
    with pytest.raises(TypeError, match="never pickled or copied"):
        worker.start()


def test_threads_share_a_stream_without_sharing_words() -> None:
    stream, drawn = Stream(), []

    def draw() -> None:
        drawn.extend(stream.words(500) for _ in range(50))

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    words = np.concatenate(drawn)
    assert len(words) == len(np.unique(words)) == 200_000


def test_one_thread_draws_at_a_time() -> None:
    stream = Stream()
    thread = threading.Thread(target=stream.bytes, args=(8,))
    with stream._lock:
        thread.start()
        thread.join(timeout=0.2)
        assert thread.is_alive()
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_keys_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[bytes] = []
    honest = os.urandom
    monkeypatch.setattr(entropy, "_ZEROS", memoryview(bytes(1 << 12)))
    monkeypatch.setattr(entropy, "_BYTES_PER_KEY", 1 << 15)
    monkeypatch.setattr(entropy.os, "urandom", lambda n: keys.append(honest(n)) or keys[-1])
    stream = Stream()
    words = stream.words(1 << 15)
    assert len(set(keys)) == len(keys) == 8
    assert all(len(key) == 32 for key in keys)
    assert len(np.unique(words)) == len(words)


def test_long_and_empty_requests() -> None:
    stream = Stream()
    assert stream.bytes(0) == b""
    assert stream.words(0).shape == (0,)
    long = stream.words(400_001)
    assert long.shape == (400_001,)
    assert len(np.unique(long)) == len(long)
    assert np.bitwise_and.reduce(long[-5:]) != np.bitwise_or.reduce(long[-5:])


def test_only_a_test_stream_is_seeded_and_says_so() -> None:
    one, again, other = (Stream.for_tests(k) for k in (b"one", b"one", b"other"))
    assert one.seeded
    assert not Stream().seeded
    assert not system().seeded
    drawn = one.bytes(64)
    assert drawn == again.bytes(64)
    assert drawn != other.bytes(64)
    with pytest.raises(AttributeError):
        one.seeded = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        Stream(b"a key")  # type: ignore[call-arg]
    for key in (b"", "text", 7):
        with pytest.raises(ValueError, match="at least one byte"):
            Stream.for_tests(key)  # type: ignore[arg-type]


def test_a_test_stream_is_the_same_however_it_is_asked() -> None:
    whole, pieces = Stream.for_tests(b"k"), Stream.for_tests(b"k")
    assert whole.words(40).tobytes() == b"".join(pieces.bytes(8 * n) for n in (1, 0, 30, 9))


def test_global_seeds_do_not_reach_it() -> None:
    drawn = set()
    for _ in range(3):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        drawn.add(Stream().bytes(16))
        drawn.add(system().bytes(16))
    assert len(drawn) == 6


def byte_p(data: bytes) -> float:
    return float(stats.chisquare(np.bincount(np.frombuffer(data, np.uint8), minlength=256)).pvalue)


def test_bytes_are_uniform() -> None:
    data = system().bytes(1 << 20)
    assert byte_p(data) > PASS
    assert byte_p(data[:-8192] + data[:1] * 8192) < PASS


def test_every_bit_of_a_word_is_fair() -> None:
    words = system().words(1 << 16)
    ones = [int((words >> np.uint64(k) & np.uint64(1)).sum()) for k in range(64)]
    assert all(stats.binomtest(n, 1 << 16).pvalue > PASS for n in ones)
    loaded = words | (np.arange(1 << 16) % 16 == 0).astype(np.uint64)
    assert stats.binomtest(int((loaded & np.uint64(1)).sum()), 1 << 16).pvalue < PASS


@pytest.mark.parametrize("bound", [3, 6, 100, 257])
def test_below_is_uniform_and_a_remainder_of_few_bits_is_not(bound: int) -> None:
    def p(values: np.ndarray) -> float:
        counts = np.bincount(values, minlength=bound)
        return float(stats.chisquare(counts).pvalue) if len(counts) == bound else 0.0

    assert p(system().below(bound, 500_000)) > PASS
    few = np.frombuffer(system().bytes(500_000), np.uint8).astype(np.int64) >> (4 if bound < 16 else 0)
    assert p(few % bound) < PASS


@pytest.mark.parametrize("bound", [1, 2**62 + 1, 2**63 - 1, 2**63])
def test_below_at_its_ends(bound: int) -> None:
    drawn = system().below(bound, 2000)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert all(int(x) < bound for x in drawn)
    if bound > 1:
        quarters = np.bincount((drawn.astype(np.float64) * 4 / bound).astype(int), minlength=4)[:4]
        assert stats.chisquare(quarters).pvalue > PASS


@pytest.mark.parametrize("bound", [0, -1, 2**63 + 1, True])
def test_below_refuses_what_is_no_bound(bound: int) -> None:
    with pytest.raises(ValueError, match="bound"):
        system().below(bound, 1)


def test_system_is_one_stream_per_process() -> None:
    assert system() is system()
    drawn = [system().bytes(16) for _ in range(50)]
    assert all(a != b for a, b in pairwise(drawn))
