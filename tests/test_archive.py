import os
import random
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from chainrule.archive import (
    CHECKSUM_BYTES,
    MAX_CONTAINERS,
    MAX_DOCUMENT_BYTES,
    Format,
    opened,
    pack_archive,
    with_checksum,
    write_whole,
)
from chainrule.arrays import digest
from chainrule.errors import ModelFileError

FORM = Format("a test", 3, "about.json")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "archive"


def read(path, form=FORM):
    with opened(path, form, "an archive") as archive:
        return archive.document, {name: archive.array(name) for name in archive.specs}


def put(path, document, **arrays):
    content = pack_archive(FORM, document, arrays)
    write_whole(path, lambda file: file.write(content))


# There and back.


def test_document_and_arrays_survive_a_round_trip(path, rng):
    arrays = {"a": rng.normal(size=(3, 4)), "b": np.float32([1, 2]), "c": np.zeros(0), "d": np.array(np.nan)}
    put(path, {"note": "é", "list": [1, 2.5, None]}, **arrays)
    document, back = read(path)
    assert (document["note"], document["list"]) == ("é", [1, 2.5, None])
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array, strict=True)


@pytest.mark.parametrize("value", [1e300, 5e-324, 0.1, -0.0, np.inf, np.nan])
def test_numbers_are_stored_exactly(value, path):
    put(path, {}, x=np.array([value, 1.0]))
    assert read(path)[1]["x"].astype(np.float64).tobytes() == np.array([value, 1.0]).tobytes()


def test_the_file_ends_in_the_sha256_of_everything_before(path):
    from hashlib import sha256

    put(path, {}, x=np.arange(3.0))
    content = path.read_bytes()
    assert content[-64:] == sha256(content[:-64]).hexdigest().encode()


def test_a_file_of_another_format_or_version_is_refused(path):
    put(path, {}, x=np.arange(3.0))
    with pytest.raises(ModelFileError, match=r"model\.json is missing, got about\.json"):
        read(path, FORM._replace(document="model.json"))
    with pytest.raises(ModelFileError, match="does not have the format 'model'"):
        read(path, FORM._replace(name="model"))
    with pytest.raises(ModelFileError, match="format version 3 is not supported; this version of chainrule reads 4"):
        read(path, FORM._replace(version=4))


def test_a_file_beyond_the_limits_of_readers_is_not_written():
    with pytest.raises(ValueError, match="at most"):
        pack_archive(FORM, {"note": "x" * MAX_DOCUMENT_BYTES}, {})
    with pytest.raises(ValueError, match="at most 262,144 lists and objects"):
        pack_archive(FORM, {"note": [[]] * MAX_CONTAINERS}, {})


def put_text(path, parts):
    """Write an archive whose document contains a list of these parts."""
    document = f'{{"format": "a test", "version": 3, "arrays": {{}}, "many": [{",".join(parts)}]}}'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.json", document)
        archive.comment = bytes(CHECKSUM_BYTES)
    path.write_bytes(with_checksum(path.read_bytes()))


@pytest.mark.parametrize("part", ["257", '"ab"', "0.1", "1e-7", "{}", "[[]]", '{"a":1}'])
def test_the_longest_document_takes_at_most_200_mb(part, path):
    n_brackets = part.count("[") + part.count("{")
    n = min((MAX_DOCUMENT_BYTES - 200) // (len(part) + 1), (MAX_CONTAINERS - 3) // max(n_brackets, 0.1))
    put_text(path, [part] * int(n))
    tracemalloc.start()
    document, _ = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(document["many"]) > 2**16
    assert peak < 200 * 2**20


def test_a_document_of_too_many_lists_is_refused_before_parsing(path):
    put_text(path, ["[" * 50 + "]" * 50] * (MAX_CONTAINERS // 50 + 1))
    with pytest.raises(ModelFileError, match="at most 262,144 lists and objects"):
        read(path)


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
for k in range(40):
    child = os.fork()
    if child == 0:
        while True:
            net.theta += 1
            save(net, path)
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
    assert read(path)


@pytest.mark.skipif(sys.platform == "win32", reason="requires POSIX file modes")
def test_file_permissions_are_preserved(path):
    path.write_text("what was here")
    path.chmod(0o600)
    put(path, {})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_name_of_maximum_length_is_written(tmp_path):
    for name in ("n" * 255, "é" * 127):
        put(tmp_path / name, {})
        assert read(tmp_path / name)


def test_a_pipe_is_neither_read_nor_overwritten(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / "pipe", lambda file: file.write(b"x"))
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()
