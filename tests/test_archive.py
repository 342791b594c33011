import os
import random
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from chainrule.arrays import digest
from chainrule.errors import ModelFileError
from chainrule.files.archive import (
    MAX_CONTAINERS,
    MAX_HEADER_BYTES,
    Format,
    pack,
    read,
    refusing,
    write_whole,
)
from fuzz_model_file import put_together, take_apart

FORM = Format("a test", 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "archive"


def get(path, form=FORM):
    with refusing(path, "an archive"):
        return read(path, form)


def put(path, tree):
    write_whole(path, lambda file: file.write(pack(FORM, tree)))


# There and back.

TREES = {
    "plain": {"note": "é\ud800", "list": [1, 2.5, None, True, 10**30], "nested": {"": {"a": []}}},
    "arrays": {"a": np.arange(12.0).reshape(3, 4), "b": np.float32([1, 2]), "c": np.zeros((2, 0)), "d": np.array(0.5)},
    "states": {"key": np.arange(3, dtype=np.uint32), "counter": np.arange(2, dtype=np.uint64)},
    "order": {"view": np.arange(12.0).reshape(3, 4).T, "big": np.arange(3).astype(">f8")},
    "not finite": {"a": float("nan"), "b": [float("inf"), -float("inf")], "c": np.array([np.nan, -np.inf])},
    "same paths": {"a": {"b": np.zeros(1)}, "a.b": np.ones(2), "": {"a.b": np.ones(3)}, "__metadata__": np.ones(4)},
    "keys like marks": {"$array": "a", "b": {"$array": np.ones(2)}, "c": {"$float": "nan"}, "d": {"$$array": {"$": 1}}},
}


def assert_same(actual, expected):
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key, value in expected.items():
            assert_same(actual[key], value)
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(actual, expected, strict=expected.dtype.isnative)
    else:
        assert repr(actual) == repr(expected)


@pytest.mark.parametrize("name", TREES)
def test_trees_of_plain_values_and_arrays_survive_a_round_trip(name, path):
    put(path, TREES[name])
    assert_same(get(path), {"format": "a test", "version": 3} | TREES[name])


def test_tuples_and_numpys_numbers_become_pythons(path):
    put(path, {"a": (1, (2.5,)), "b": np.float32(0.5), "c": np.int64(3), "d": np.bool_(True), "e": np.float64("nan")})
    assert repr(list(get(path).values())[2:]) == "[[1, [2.5]], 0.5, 3, True, nan]"


@pytest.mark.parametrize("value", [{"a": np.array(["x"])}, {"a": np.zeros(2, complex)}, {"a": {1, 2}}, {"a": object()}])
def test_other_values_are_not_written(value):
    with pytest.raises((ValueError, TypeError), match=r"dtype of a must be one of|not JSON serializable"):
        pack(FORM, value)


@pytest.mark.parametrize("value", [1e300, 5e-324, 0.1, -0.0, np.inf, np.nan])
def test_numbers_are_stored_exactly(value, path):
    put(path, {"x": np.array([value, 1.0])})
    assert get(path)["x"].astype(np.float64).tobytes() == np.array([value, 1.0]).tobytes()


def test_the_checksum_is_the_sha256_of_everything_else(path):
    from hashlib import sha256

    put(path, {"x": np.arange(3.0)})
    content = path.read_bytes()
    checksum = take_apart(content)[0]["__metadata__"]["sha256"]
    start, rest = content.split(checksum.encode())
    assert checksum == sha256(start + rest).hexdigest()


# The layout is that of safetensors.


def test_the_safetensors_package_reads_the_arrays(path, rng):
    import json

    from safetensors import safe_open

    arrays = {"b": rng.normal(size=3).astype(np.float32), "a": rng.normal(size=(3, 4)), "c": np.zeros((2, 0))}
    put(path, {"inner": arrays, "note": "é", "state": np.arange(3, dtype=np.uint32)})
    with safe_open(path, "numpy") as file:
        names = {f"inner.{name}": array for name, array in arrays.items()} | {"state": np.arange(3, dtype=np.uint32)}
        assert set(file.keys()) == set(names)
        for name, array in names.items():
            np.testing.assert_array_equal(file.get_tensor(name), array, strict=True)
        document = json.loads(file.metadata()["document"])
    assert (document["format"], document["note"]) == ("a test", "é")
    assert document["inner"]["a"] == {"$array": "inner.a"}


def test_every_array_begins_at_a_multiple_of_its_item_size(path):
    put(
        path, {"a": np.zeros(3, np.float32), "b": np.zeros(2), "c": np.zeros(1, np.uint32), "d": np.zeros(1, np.uint64)}
    )
    header, _, data = take_apart(path.read_bytes())
    assert (len(path.read_bytes()) - len(data)) % 8 == 0
    for name in "abcd":
        assert header[name]["data_offsets"][0] % get(path)[name].itemsize == 0


def test_a_file_that_the_safetensors_package_wrote_is_refused(path):
    from safetensors.numpy import save_file

    save_file({"theta": np.zeros(3)}, path, {"format": "np"})
    with pytest.raises(ModelFileError, match="not a chainrule file"):
        get(path)


# What is refused.


def test_a_file_of_another_format_or_version_is_refused(path):
    put(path, {"x": np.arange(3.0)})
    with pytest.raises(ModelFileError, match="its format must be 'model', got 'a test'"):
        get(path, FORM._replace(name="model"))
    with pytest.raises(ModelFileError, match="format version 3 is not supported; this version of chainrule reads 4"):
        get(path, FORM._replace(version=4))


def test_a_file_beyond_the_limits_of_readers_is_not_written():
    with pytest.raises(ValueError, match="at most 7,340,032 bytes"):
        pack(FORM, {"note": "x" * MAX_HEADER_BYTES})
    with pytest.raises(ValueError, match="at most 262,144 lists and objects"):
        pack(FORM, {"note": [[]] * MAX_CONTAINERS})


def put_text(path, parts):
    """Write an archive whose document contains a list of these parts."""
    document = f'{{"format": "a test", "version": 3, "many": [{",".join(parts)}]}}'
    path.write_bytes(put_together({}, document, b""))


PARTS = ["257", '"ab"', '"\\u65e5"', "0.1", "1e-7", "{}", "[[]]", '{"a":1}']


@pytest.mark.parametrize(
    ("part", "share"),
    [pytest.param(PARTS[0], 1, marks=pytest.mark.slow), (PARTS[0], 1 / 4), *((part, 1 / 16) for part in PARTS[1:])],
)
def test_the_longest_document_takes_at_most_200_mb(part, share, path):
    """Memory is in proportion to the length, so parts of the longest document show it, too."""
    n_brackets = part.count("[") + part.count("{")
    n_escaped = part.count('"') + part.count("\\")
    n = min((MAX_HEADER_BYTES - 400) // (len(part) + n_escaped + 1), (MAX_CONTAINERS - 6) // max(n_brackets, 0.1))
    put_text(path, [part] * int(share * n))
    tracemalloc.start()
    document = get(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(document["many"]) > share * 2**16
    assert peak < share * 200 * 2**20


def test_a_document_of_too_many_lists_is_refused_before_parsing(path):
    put_text(path, ["[" * 50 + "]" * 50] * (MAX_CONTAINERS // 50 + 1))
    with pytest.raises(ModelFileError, match="at most 262,144 lists and objects"):
        get(path)


def test_lists_escaped_in_the_header_are_counted_too(path):
    header = '{"__metadata__":{"sha256":"' + "0" * 64 + '","document":"' + "\\u005b" * (MAX_CONTAINERS + 1) + '"}}'
    path.write_bytes(put_together(header, None, b""))
    with pytest.raises(ModelFileError, match="at most 262,144 lists and objects"):
        get(path)


def test_digests_differ_by_value_shape_dtype_and_position():
    x = np.arange(6.0)
    others = [x + 1, x.reshape(2, 3), x.astype(np.float32), x[::-1], x[:5]]
    assert len({digest(x), *map(digest, others), digest(x, None), digest(None, x)}) == 8
    assert digest(np.asfortranarray(x.reshape(2, 3))) == digest(x.reshape(2, 3))


# Atomic writes.

KILLED = """
import os, random, signal, sys, time
import numpy as np
from chainrule import load, mlp, save
path = sys.argv[1]
random.seed(int(sys.argv[2]))
net = mlp(500, 500, 2, seed=0)
net.theta = np.ones(net.theta.size)
save(net, path)
for k in range(20):
    wait_end, saved_end = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            net.theta += 1
            save(net, path)
            os.write(saved_end, b".")
    os.read(wait_end, 1)  # it has saved once, however busy the machine is
    time.sleep(random.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert np.ptp(load(path).theta) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="requires fork")
def test_kill_9_at_any_time_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "model.chainrule"
    seed = str(random.randrange(1000))
    done = subprocess.run([sys.executable, "-c", KILLED, path, seed], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    # At least one process was killed while it was writing.
    assert len(os.listdir(tmp_path)) > 1


FULL = """
import errno, resource, signal, sys
from chainrule import mlp, save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(mlp(500, 500, 2), sys.argv[1])
except OSError as error:
    sys.exit(errno.errorcode[error.errno])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="requires resource limits")
def test_on_a_full_disk_the_old_file_stays_and_nothing_else(path):
    path.write_text("what was here")
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "EFBIG"
    assert path.read_text() == "what was here"
    assert os.listdir(path.parent) == [path.name]


def test_a_leftover_of_a_killed_process_does_not_disturb_later_writes(path, monkeypatch):
    numbers = iter([b"0000", b"1111"])
    monkeypatch.setattr(os, "urandom", lambda n: next(numbers))
    (path.parent / f".{path.name}.{b'0000'.hex()}.unfinished").write_text("left by another")
    with pytest.raises(FileExistsError):
        put(path, {})
    put(path, {})
    assert get(path)


@pytest.mark.skipif(sys.platform == "win32", reason="requires POSIX file modes")
def test_file_permissions_are_preserved(path):
    path.write_text("what was here")
    path.chmod(0o600)
    put(path, {})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_name_of_maximum_length_is_written(tmp_path):
    for name in ("n" * 255, "é" * 127):
        put(tmp_path / name, {})
        assert get(tmp_path / name)


def test_a_pipe_is_neither_read_nor_overwritten(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        get(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / "pipe", lambda file: file.write(b"x"))
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()
