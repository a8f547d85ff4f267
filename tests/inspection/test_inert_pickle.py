import collections
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_ext.inspection.inert_pickle import Plain, read
from tests.inspection.hostile import BROKEN, opcodes


@pytest.mark.parametrize("way", opcodes(Path()))
def test_what_a_pickle_names_is_said_and_not_run(way, tmp_path):
    file = tmp_path / "was here"
    _, names = read(opcodes(file)[way])
    assert len(names) == 1
    assert names[0].endswith("system")
    assert not file.exists()


def test_the_pickles_would_run_if_they_were_unpickled(tmp_path):
    ways = ("reduce, protocol 2", "reduce, protocol 5", "inst", "obj")
    for number, way in enumerate(ways):
        pickle.loads(opcodes(tmp_path / str(number))[way])
    assert len(list(tmp_path.iterdir())) == len(ways)


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_pickle_is_refused(what):
    with pytest.raises(pickle.UnpicklingError):
        read(BROKEN[what])


def test_memory_is_that_of_the_data_and_not_what_a_pickle_asks_for():
    tracemalloc.start()
    with pytest.raises(pickle.UnpicklingError):
        read(b"\x80\x05\x96" + (1 << 28).to_bytes(8, "little") + b".")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_a_bytearray_is_read():
    assert read(pickle.dumps(bytearray(b"content"), protocol=5)) == (bytearray(b"content"), [])


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read(protocol):
    value = {"a": [1, 2.5, None, True, "text"], "b": (np.float32(0.25), np.float64(-3)), "c": collections.OrderedDict(d=1)}
    content, names = read(pickle.dumps(value, protocol=protocol))
    assert Plain()(content) == {"a": [1, 2.5, None, True, "text"], "b": [0.25, -3.0], "c": {"d": 1}}
    assert {name.split(".")[0] for name in names} <= {"collections", "numpy", "_codecs"}


@pytest.mark.parametrize("number", [np.int64(-3), np.uint8(200), np.bool_(True)])
def test_whole_numbers_of_numpys_are_read(number):
    assert Plain()(read(pickle.dumps(number, protocol=2))[0]) == number


def test_sets_and_dictionaries_made_of_pairs_are_read():
    pairs = b"\x80\x02ccollections\nOrderedDict\n](X\x01\x00\x00\x00aK\x01\x86X\x01\x00\x00\x00bK\x02\x86e\x85R."
    assert pickle.loads(pairs) == collections.OrderedDict(a=1, b=2)
    assert Plain()(read(pairs)[0]) == {"a": 1, "b": 2}
    assert Plain()(read(pickle.dumps([{1}, frozenset("a")], protocol=4))[0]) == [[1], ["a"]]


def test_a_number_and_its_text_are_two_keys():
    assert Plain()({"1": "a", 1: "b"}) == {"1": "a", 1: "b"}


def test_arrays_and_objects_are_left_out():
    content, _ = read(pickle.dumps([np.zeros(3), Path("a")]))
    assert Plain()(content) == [None, None]


@pytest.mark.parametrize(("value", "hidden"), [(b"a", 0), (np.float32(1), 0), (np.str_("a"), 1), ({np.str_("a"): 1}, 1)])
def test_text_that_a_call_makes_is_hidden(value, hidden):
    plain = Plain()
    plain(read(pickle.dumps(value, protocol=2))[0])
    assert len(plain.hidden) == hidden


def test_a_structure_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr(Plain, "LIMIT", 10_000)
    laughs = [0]
    for _ in range(60):
        laughs = [laughs, laughs]
    with pytest.raises(pickle.UnpicklingError, match="refers to itself"):
        Plain()(read(pickle.dumps(laughs))[0])
