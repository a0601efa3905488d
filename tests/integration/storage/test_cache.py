"""One contract, wherever a cache keeps things; and Redis that is down, slow or holds rubbish."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis

from imaging_fhir.errors import EhrUnavailable
from imaging_fhir.storage.cache import SOCKET_SECONDS, Cache, MemoryCache, RedisCache, open_cache
from imaging_fhir.storage.sealed_cache import SealedCache
from tests.services import free_port, is_listening

HOMES = ("memory", "redis", "redis that is down")
SECRET = b"a secret of this test"


@pytest.fixture(params=HOMES)
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    urls: dict[str, Callable[[], str]] = {
        "memory": lambda: "",
        "redis": lambda: request.getfixturevalue("redis_url"),
        "redis that is down": lambda: f"redis://127.0.0.1:{free_port()}",
    }
    with closing(open_cache(urls[request.param]())) as opened:
        yield opened


def test_what_is_put_is_got_until_its_time_is_over(cache: Cache) -> None:
    cache.put("a", b"one", 60)
    cache.put("b", b"two", 0.05)
    assert cache.get(["b", "x", "a"]) == [b"two", None, b"one"]
    time.sleep(0.1)
    assert cache.get(["b", "a"]) == [None, b"one"]


def test_a_later_value_takes_the_place(cache: Cache) -> None:
    cache.put("a", b"one", 60)
    cache.put("a", b"two", 60)
    assert cache.get(["a"]) == [b"two"]
    assert cache.get([]) == []


def test_a_lock_is_one_s_alone_until_it_is_given_back(cache: Cache) -> None:
    token = cache.lock("a", 60)
    assert token
    assert cache.lock("a", 60) is None
    assert cache.lock("b", 60)
    cache.unlock("a", "of another")
    assert cache.lock("a", 60) is None
    cache.unlock("a", token)
    assert cache.lock("a", 60)


def test_the_lock_of_one_who_died_ends(cache: Cache) -> None:
    assert cache.lock("a", 0.05)
    time.sleep(0.1)
    assert cache.lock("a", 60)


def test_memory_is_bounded() -> None:
    cache = MemoryCache(most=2)
    for key in ("a", "b"):
        cache.put(key, key.encode(), 60)
    cache.get(["a"])
    cache.put("c", b"c", 60)
    assert cache.get(["a", "b", "c"]) == [b"a", None, b"c"]


def test_one_of_many_finds_the_answer(cache: Cache) -> None:
    """As if each thread were another process: they share only the cache."""
    found = []

    def find() -> tuple[bytes, float]:
        found.append(threading.get_ident())
        time.sleep(0.05)
        return b"the answer", 60

    def ask(_: int) -> bytes:
        sealed = SealedCache(cache, SECRET)
        return sealed.found_once(sealed.key("Patient", "1"), find, seconds=5)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(64))) == {b"the answer"}
    assert len(found) == 1


def test_two_processes_share_what_redis_holds(redis_url: str) -> None:
    with closing(RedisCache(redis_url)) as one, closing(RedisCache(redis_url)) as other:
        sealed = SealedCache(one, SECRET)
        key = sealed.key("Patient", "1")
        sealed.found_once(key, lambda: (b"known", 60), seconds=1)
        assert SealedCache(other, SECRET).get([key]) == [b"known"]
        token = one.lock("a", 60)
        assert token
        assert other.lock("a", 60) is None


def test_a_fault_while_finding_gives_the_lock_back(cache: Cache) -> None:
    sealed = SealedCache(cache, SECRET)

    def fail() -> tuple[bytes, float]:
        raise EhrUnavailable("It is down.")

    for _ in range(2):
        with pytest.raises(EhrUnavailable, match="It is down"):
            sealed.found_once("a", fail, seconds=5)


def test_who_waits_too_long_is_told(cache: Cache) -> None:
    sealed = SealedCache(cache, SECRET)
    assert cache.lock("a", 60)
    with pytest.raises(EhrUnavailable, match="takes too long"):
        sealed.found_once("a", lambda: (b"", 1), seconds=0.05)


def test_keys_tell_nothing_and_differ_by_secret() -> None:
    one, other = SealedCache(MemoryCache(), b"one"), SealedCache(MemoryCache(), b"other")
    assert "4711" not in one.key("Patient", "urn:oid:1", "4711")
    assert one.key("Patient", "4711") != other.key("Patient", "4711")
    assert one.key("a", "bc") != one.key("ab", "c")


@pytest.mark.parametrize("rubbish", [b"", b"x", b"0" * 16, b"0" * 16 + b'[1,["Patient"]]'])
def test_rubbish_is_not_believed(redis_url: str, rubbish: bytes) -> None:
    with closing(RedisCache(redis_url)) as cache:
        sealed = SealedCache(cache, SECRET)
        cache.put("a", rubbish, 60)
        assert sealed.get(["a"]) == [None]
        assert sealed.found_once("a", lambda: (b"known", 60), seconds=1) == b"known"


def test_a_value_under_another_key_is_not_believed() -> None:
    cache = MemoryCache()
    sealed = SealedCache(cache, SECRET)
    sealed.put("a", b"of a", 60)
    cache.put("b", cache.get(["a"])[0] or b"", 60)
    assert sealed.get(["a", "b"]) == [b"of a", None]


def test_another_type_under_the_key_counts_as_nothing(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.rpush("a", "a list")
    client.close()
    with closing(RedisCache(redis_url)) as cache:
        assert cache.get(["a"]) == [None]


def test_a_redis_that_hangs_costs_little() -> None:
    """It takes connections and never answers: each second one request waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}"
        with closing(RedisCache(url)) as cache:
            begun = time.monotonic()
            for number in range(50):
                cache.put(str(number), b"x", 60)
                assert cache.get([str(number)]) == [b"x"]
            assert time.monotonic() - begun < 5 * SOCKET_SECONDS


def test_redis_is_used_again_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    with closing(RedisCache(f"redis://127.0.0.1:{port}")) as cache:
        cache.put("a", b"in memory", 60)
        assert cache.get(["a"]) == [b"in memory"]
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not is_listening(port):
                time.sleep(0.02)
            cache.away_until = 0.0
            assert cache.get(["a"]) == [None]
            cache.put("a", b"in Redis", 60)
            assert cache.get(["a"]) == [b"in Redis"]
        finally:
            process.kill()
            process.wait()
        assert cache.get(["a"]) == [b"in memory"]
