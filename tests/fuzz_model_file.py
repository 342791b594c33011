"""Fuzz model files: each modified file is refused with a ModelFileError, or predicts the same as before.

    python tests/fuzz_model_file.py 20000 [seed]

Some modifications are accidents: bytes are flipped, lost, repeated. The others are deliberate: entries and documents
are edited, and the checksum is recomputed.
"""

import io
import json
import resource
import sys
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from chainrule.archive import CHECKSUM_BYTES, with_checksum
from chainrule.errors import ModelFileError
from chainrule.model.file import load
from chainrule.model.predictor import Predictor

GOLDEN = Path(__file__).parent / "golden"
TABLE = json.loads((GOLDEN / "table.json").read_text())
MAX_SECONDS, MAX_BYTES = 1.0, 200 * 2**20
HUGE = [10**12, 2**31, 2**63, 10**400, -1, 1e308, "x" * 100_000, [0] * 10_000, {"a": {}}]
ODD = [None, True, "", [], {}, 0, 0.5, 1e-300]
DEFLATED = [(), ("model.json",), ("model.json",), ("model.json", "theta.npy"), ("buffers.npy",)]
"""Entries to deflate in a deliberately modified file."""
NAMES = ["eval", "os.system", "__class__", "../theta", "Residual", "NumberColumn", "regression", "float64", "<f8", "|O"]


def predict(model):
    """Return a model's predictions for the golden rows."""
    if isinstance(model, Predictor):
        return model.predictions(TABLE)
    return model(np.linspace(-2, 2, 5 * model.n_in).reshape(5, -1))


# Accidents.


def flip(content, rng):
    content = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        content[place] ^= rng.integers(1, 256)
    return bytes(content)


def cut(content, rng):
    return content[: rng.integers(len(content))]


def lose_the_beginning(content, rng):
    return content[rng.integers(1, len(content)) :]


def insert(content, rng):
    place = rng.integers(len(content))
    return content[:place] + rng.bytes(rng.integers(1, 200)) + content[place:]


def swap(content, rng):
    a, b, c = sorted(rng.integers(len(content), size=3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def append(content, rng):
    return content + rng.bytes(rng.integers(1, 500))


def zeros(content, rng):
    a, b = sorted(rng.integers(len(content), size=2))
    return content[:a] + bytes(b - a) + content[b:]


# Deliberate modifications.


def flip_and_update_checksum(content, rng):
    return with_checksum(flip(content[:-CHECKSUM_BYTES], rng) + bytes(CHECKSUM_BYTES))


def flip_the_directory(content, rng):
    """Change the zip directory and its end record, which store sizes and offsets."""
    content = bytearray(content)
    start = content.rindex(b"PK\1\2", 0, len(content) - 200)
    for place in rng.integers(start, len(content) - CHECKSUM_BYTES, size=rng.integers(1, 4)):
        content[place] = rng.choice([0, 1, 8, 127, 128, 255, rng.integers(256)])
    return with_checksum(bytes(content))


def entries_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def zipped(entries, deflated=("model.json",)):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if name in deflated else zipfile.ZIP_STORED)
        archive.comment = bytes(CHECKSUM_BYTES)
    return with_checksum(whole.getvalue())


def edit_entries(content, rng):
    """Swap, repeat, drop, rename, lengthen or deflate entries."""
    entries = entries_of(content)
    i, j = rng.integers(len(entries), size=2)
    match rng.integers(8):
        case 0:
            entries[i], entries[j] = (entries[i][0], entries[j][1]), (entries[j][0], entries[i][1])
        case 1:
            entries.append(entries[i])
        case 2:
            entries.pop(i)
        case 3:
            entries[i] = rng.choice([*NAMES, "theta", "THETA.npy", "a/theta.npy", "théta.npy"]), entries[i][1]
        case 4:
            entries[i] = entries[i][0], flip(entries[i][1], rng)
        case 5:
            entries[i] = entries[i][0], bytes(rng.integers(3_000_000))
        case 6:
            rng.shuffle(entries)
        case 7:
            entries[i] = entries[i][0], entries[i][1] + b" " * rng.integers(20_000_000)
    return zipped(entries, DEFLATED[rng.integers(len(DEFLATED))])


def edit_array(content, rng):
    """Write a wrong array header, or an array of another dtype, shape or order, or a pickle."""
    entries = dict(entries_of(content))
    name = rng.choice([name for name in entries if name.endswith(".npy")])
    array = np.load(io.BytesIO(entries[name]))
    raw = io.BytesIO()
    match rng.integers(4):
        case 0:
            shape = tuple(int(n) for n in rng.choice([0, 1, 3, 10**6, 10**12, 2**62], size=rng.integers(4)))
            header = {
                "descr": str(rng.choice(["<f4", "<f8", "|O", "<i8", "|V9"])),
                "fortran_order": False,
                "shape": shape,
            }
            np.lib.format.write_array_header_1_0(raw, header)
            raw.write(array.tobytes())
        case 1:
            np.save(raw, np.asfortranarray(array.astype(rng.choice(["f4", "f8", "i8", "c8", "S3", ">f4"]))))
        case 2:
            np.save(raw, np.array([print, {"a": 1}], object), allow_pickle=True)
        case 3:
            changed = array.copy().ravel()
            if len(changed):
                changed[rng.integers(len(changed))] = rng.choice([np.nan, np.inf, 1e30, 0.0])
            np.save(raw, changed.reshape(array.shape))
    return zipped(list((entries | {str(name): raw.getvalue()}).items()))


def places_in(node, path=()):
    """Yield the path of keys to every node of a document."""
    if path:
        yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from places_in(node[key], (*path, key))


def edit_document(content, rng):
    """Drop, repeat, retype, enlarge or rename one to three nodes of the document."""
    entries = dict(entries_of(content))
    name = next(name for name in entries if name.endswith(".json"))
    document = json.loads(entries[name])
    for _ in range(rng.integers(1, 4)):
        places = list(places_in(document))
        *path, key = places[rng.integers(len(places))]
        node = document
        for step in path:
            node = node[step]
        match rng.integers(6):
            case 0:
                del node[key]
            case 1:
                node[key] = (HUGE + ODD)[rng.integers(len(HUGE + ODD))]
            case 2:
                node[key] = str(rng.choice(NAMES))
            case 3:
                other = document
                for step in places[rng.integers(len(places))]:
                    other = other[step] if isinstance(other, list | dict) else other
                node[key] = json.loads(json.dumps(other))
            case 4:
                for _ in range(rng.integers(1, 60)):
                    node[key] = {"layer": "Residual", "layers": [node[key]]} if rng.random() < 0.8 else [node[key]]
            case 5:
                node[key] = [node[key]] * int(rng.integers(2, 50))
                break
        if not document:
            break
    text = json.dumps(document).encode()
    if rng.random() < 0.1:
        text = flip(text, rng)
    return zipped(list((entries | {name: text}).items()))


ACCIDENTS = [flip, cut, lose_the_beginning, insert, swap, append, zeros]
DELIBERATE = [flip_and_update_checksum, flip_the_directory, edit_entries, edit_array]
CHANGES = [*ACCIDENTS, *DELIBERATE, *[edit_document] * 3]


def fuzz(n, seed=0):
    """Modify the golden files `n` times; return how often each change was refused or accepted, and the slowest load."""
    rng = np.random.default_rng(seed)
    originals = {path: path.read_bytes() for path in sorted(GOLDEN.glob("*.chainrule"))}
    predictions = {path: predict(load(path)) for path in originals}
    outcomes, slowest = Counter(), 0.0
    with TemporaryDirectory() as folder:
        changed = Path(folder) / "m.chainrule"
        for k in range(n):
            path = list(originals)[rng.integers(len(originals))]
            change = CHANGES[rng.integers(len(CHANGES))]
            content = change(originals[path], rng)
            changed.write_bytes(content)
            start = perf_counter()
            model, case = None, f"case {k} of seed {seed}: {change.__name__} of {path.name}"
            try:
                model = load(changed)
            except ModelFileError:
                pass
            except BaseException as error:
                raise AssertionError(f"{case}: {error!r}") from error
            seconds = perf_counter() - start
            slowest = max(slowest, seconds)
            assert seconds < MAX_SECONDS, f"{case} took {seconds:.1f} s"
            outcomes[change.__name__, "refused" if model is None else "accepted"] += 1
            if model is not None and content != originals[path]:
                assert change not in ACCIDENTS, f"{case} was not detected"
                check_predictions(model, predictions[path], change is not edit_document, case)
    return outcomes, slowest


def check_predictions(model, expected, same, case):
    """A file with another document is another model, which may refuse the rows; otherwise predictions are the same."""
    try:
        with np.errstate(all="ignore"):
            actual = predict(model)
    except ValueError:
        assert not same, case
        return
    assert len(actual) == len(expected), case
    assert not same or np.array_equal(actual, expected), case


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # duplicate names are intended
    total, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    outcomes, slowest = fuzz(total, seed)
    for (change, outcome), count in sorted(outcomes.items()):
        print(f"{change:<22} {outcome:<8} {count:>6,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert peak < MAX_BYTES, f"{peak:,} bytes"
    print(f"{total:,} modified files; slowest load: {slowest:.3f} s, peak memory: {peak / 2**20:.0f} MB")
