# SPDX-License-Identifier: MIT
"""Maps as mappings, their versions and their changes."""
import random
import threading
import time
from collections.abc import MutableMapping

import dsm
import pytest

from conftest import until


@pytest.fixture
def mapping(segment):
    with dsm.Map(segment) as opened:
        yield opened


def test_it_is_a_mutable_mapping(mapping):
    assert isinstance(mapping, MutableMapping) and len(mapping) == 0 and not mapping
    mapping[b"a"] = b"1"
    mapping["b"] = bytearray(b"2")
    mapping[memoryview(b"c")] = "\u00e4"
    assert mapping[b"a"] == b"1" and mapping["b"] == b"2" and mapping["c"] == "\u00e4".encode()
    assert set(mapping) == set(mapping.keys()) == {b"a", b"b", b"c"} and len(mapping) == 3
    assert "a" in mapping and b"x" not in mapping
    assert mapping == {b"a": b"1", b"b": b"2", b"c": "\u00e4".encode()}
    del mapping["a"]
    assert mapping.pop("b") == b"2" and mapping.pop("b", None) is None
    assert mapping.get("a") is None and mapping.get("a", 5) == 5
    mapping.update(x=b"1", y=b"2")
    assert mapping.setdefault("x", b"9") == b"1" and mapping.setdefault("z", b"9") == b"9"
    assert mapping.popitem()[0] in (b"x", b"y", b"z", b"c")
    assert mapping.clear() == 3 and len(mapping) == 0


@pytest.mark.parametrize("call", [
    lambda m: m["x"], lambda m: m.pop("x"), lambda m: m.delete("x"), lambda m: m.__delitem__("x"),
    lambda m: m.get_versioned("x")])
def test_absent_keys_raise_key_error(mapping, call):
    with pytest.raises(KeyError) as caught:
        call(mapping)
    assert caught.value.args == ("x",)


@pytest.mark.parametrize("value", [5, None, "\udc80"])
def test_what_is_no_value(mapping, value):
    with pytest.raises((TypeError, ValueError)):
        mapping["a"] = value
    with pytest.raises((TypeError, ValueError)):
        mapping.get(value)
    assert "a" not in mapping


def test_text_maps_have_str(segment):
    mapping = dsm.Map(segment, "words", text=True)
    mapping["k\u00e4se"] = "brot"
    assert dict(mapping) == {"k\u00e4se": "brot"} and mapping.get("k\u00e4se") == "brot"
    assert mapping.setdefault("a", "b") == "b"
    assert [e.value for e in mapping.scan("k")] == ["brot"]


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 100000])
def test_values_of_any_size(mapping, size):
    value = random.Random(size).randbytes(size)
    mapping["key"] = value
    assert mapping["key"] == value and mapping.get("key") == value


def test_versions_guard_changes(mapping):
    first = mapping.set("a", "1")
    assert mapping.get_versioned("a") == (b"1", first)
    second = mapping.cas("a", first, "2")
    assert second > first
    with pytest.raises(dsm.Conflict):
        mapping.cas("a", first, "3")
    with pytest.raises(dsm.Conflict):
        mapping.delete("a", first)
    assert mapping["a"] == b"2"
    with pytest.raises(dsm.Exists):
        mapping.add("a", "4")
    mapping.delete("a", second)
    assert mapping.cas("a", 0, "5") > second
    before = mapping.version
    mapping["b"] = "1"
    assert mapping.version > before


def test_entries_expire(mapping):
    mapping.set("short", "x", ttl=0.05)
    mapping.set("long", "x", ttl=1000)
    expires = {e.key: e.expires for e in mapping.scan()}
    assert 900 < expires[b"long"] - time.time() < 1100
    until(lambda: "short" not in mapping)
    assert "long" in mapping
    for ttl in (0, -1, float("nan")):
        with pytest.raises(ValueError):
            mapping.set("a", "b", ttl=ttl)


def test_prefixes_are_scanned(mapping):
    for i in range(100):
        mapping[f"{'even' if i % 2 == 0 else 'odd'}-{i}"] = str(i)
    assert sorted(int(e.value) for e in mapping.scan("even-")) == list(range(0, 100, 2))
    assert len(list(mapping.scan())) == 100
    walk = mapping.scan("none")
    assert list(walk) == [] and list(walk) == []


def test_random_operations_against_a_dict(mapping):
    choice, model = random.Random(3), {}
    for _ in range(5000):
        key = str(choice.randrange(300)).encode()
        what = choice.randrange(4)
        if what < 2:
            model[key] = value = choice.randbytes(choice.randrange(64))
            mapping[key] = value
        elif what == 2:
            assert mapping.pop(key, None) == model.pop(key, None)
        else:
            assert mapping.get(key) == model.get(key)
    assert mapping == model and len(mapping) == len(model)
    mapping.validate()
    assert mapping.stat().entries == len(model)


def test_watching_a_key_and_the_map(mapping):
    version = mapping.set("a", "1")
    with pytest.raises(dsm.Timeout):
        mapping.watch("a", version, 0.03)
    with pytest.raises(dsm.Timeout):
        mapping.wait(mapping.version, 0.03)
    whole = mapping.version
    timer = threading.Timer(0.03, mapping.set, ("a", "2"))
    timer.start()
    assert mapping.watch("a", version, 10) > version
    assert mapping.wait(whole, 10) > whole
    timer.join()


def test_changes_are_told(mapping):
    mapping["k1"] = "old"
    with mapping.changes("k", present=True) as changes:
        assert changes.next(10)[:3] == ("added", b"k1", b"old")
        mapping["k1"] = "new"
        assert changes.next(10)[:3] == ("changed", b"k1", b"new")
        mapping["other"] = "x"
        del mapping["k1"]
        change = changes.next(10)
        assert change.kind == "deleted" and change.value is None
        with pytest.raises(dsm.Timeout):
            changes.next(0.03)


def test_the_other_side_sees_it(mapping, uri, beside):
    mapping["from here"] = "1"
    program = beside(uri, """
        m = dsm.Map(uri)
        m["from there"] = m["from here"] + b"2"
        version = m.get_versioned("go")[1] if "go" in m else 0
        say("ready")
        m.watch("go", version, 20)
        say(m["go"].decode())
    """)
    assert program.line() == "ready"
    assert mapping["from there"] == b"12"
    mapping["go"] = "went"
    assert program.line() == "went"
    program.end()


def test_missing_exclusive_and_removed(segment):
    with pytest.raises(dsm.NotFound):
        dsm.Map(segment, "m", create=False)
    dsm.Map(segment, "m").close()
    with pytest.raises(dsm.Exists):
        dsm.Map(segment, "m", exclusive=True)
    with pytest.raises(dsm.Invalid):
        dsm.Ring(segment, "m")
    dsm.Map.remove(segment, "m")
    with pytest.raises(dsm.NotFound):
        dsm.Map.remove(segment, "m")


def test_threads_share_a_map(mapping):
    def work(n):
        for i in range(500):
            mapping[f"{n}-{i}"] = str(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mapping) == 2000
    mapping.validate()
