"""Fuzz model files: each modified file is refused with a ModelFileError, or is another model.

    python tests/fuzz_model_file.py 20000 [seed]

Some modifications are accidents: bytes are flipped, lost, repeated; all of these are refused. The others are
deliberate: headers, documents and arrays are edited, and the checksum is recomputed.
"""

import json
import resource
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

from chainrule.errors import ModelFileError
from chainrule.files.archive import MAX_HEADER_BYTES, with_checksum
from chainrule.files.model import load
from chainrule.model.predictor import Predictor

GOLDEN = Path(__file__).parent / "golden"
TABLE = json.loads((GOLDEN / "table.json").read_text())
MAX_SECONDS, MAX_BYTES = 1.0, 200 * 2**20
HUGE = [10**12, 2**31, 2**63, 10**400, -1, 1e308, "x" * 100_000, [0] * 10_000, {"a": {}}]
ODD = [None, True, "", [], {}, 0, 0.5, 1e-300]
NAMES = [
    "eval",
    "os.system",
    "__class__",
    "../theta",
    "Residual",
    "NumberColumn",
    "regression",
    "float64",
    "F64",
    "BF16",
    "|O",
    "theta",
]


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


def take_apart(content):
    """Return the header of a file, its document and the bytes of its arrays."""
    length = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:length])
    return header, json.loads(header["__metadata__"]["document"]), content[length:]


def put_together(header, document, data):
    """Return a file with the right checksum; the header and the document may be JSON or text."""
    if isinstance(header, dict):
        text = document if isinstance(document, str) else json.dumps(document)
        header = json.dumps(header | {"__metadata__": {"sha256": "0" * 64, "document": text}}, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode()
    return with_checksum(len(header).to_bytes(8, "little") + header + data)


def flip_and_update_checksum(content, rng):
    return with_checksum(flip(content, rng))


def lie_about_the_header(content, rng):
    """Claim another length of the header."""
    lengths = [0, 1, 7, 91, 2**20, 2**31, 2**63 - 1, 2**64 - 1, len(content) - 8, len(content), rng.integers(10_000)]
    return with_checksum(int(rng.choice(np.array(lengths, object))).to_bytes(8, "little") + content[8:])


LENGTHS = [0, 1, 2, 3, 17, 10**6, 10**12, 2**62, 2**64, 10**400, -1, -(2**63), 0.5, True, None, "3", [2], {}]
OFFSETS = [*LENGTHS, 4, 8, 16, 68, 136]


def edit_header(content, rng):
    """Give an array another dtype, shape, place or name; drop, repeat, reorder or add arrays; nest, repeat keys."""
    header, document, data = take_apart(content)
    names = [name for name in header if name != "__metadata__"]
    name, other = names[rng.integers(len(names))], names[rng.integers(len(names))]
    spec = header[name]
    for _ in range(rng.integers(1, 3)):
        match rng.integers(13):
            case 0:
                spec["dtype"] = str(rng.choice(["F64", "F32", "U32", "U64", "I8", "BF16", "O", "<f4", ""]))
            case 1:
                spec["shape"] = [LENGTHS[k] for k in rng.integers(len(LENGTHS), size=rng.integers(5))]
            case 2:
                spec["shape"] = [[10**4000] * 1000, [1] * 40, [2] * 70, [0] * 100_000, list(LENGTHS)][rng.integers(5)]
            case 3:
                spec["data_offsets"] = [OFFSETS[k] for k in rng.integers(len(OFFSETS), size=rng.integers(1, 4))]
            case 4:
                shift = int(rng.choice([-8, -4, -1, 1, 4, 8, 10**9]))
                spec["data_offsets"] = [shift, len(data) + shift]
            case 5:
                header[name], header[other] = header[other], header[name]
            case 6:
                header = {name: header[name] for name in reversed(header)}
            case 7:
                header.pop(name, None)
            case 8:
                header[str(rng.choice(NAMES))] = spec
            case 9:
                header[name] = deepcopy((HUGE + ODD + LENGTHS)[rng.integers(len(HUGE + ODD + LENGTHS))])
            case 10:
                spec[str(rng.choice(["dtype", "shape", "data_offsets", "extra"]))] = HUGE[rng.integers(len(HUGE))]
            case 11:
                data = [data + bytes(rng.integers(1, 10_000)), data[: rng.integers(len(data) + 1)]][rng.integers(2)]
            case 12:
                header |= {f"a{k}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for k in range(2_000)}
        if not isinstance(header.get(name), dict) or len(header) < 2:
            break
    header = {key: value for key, value in header.items() if key != "__metadata__"}
    content = put_together({"__metadata__": {}} | header, document, data)
    return edit_text(content, rng) if rng.random() < 0.3 else content


def edit_text(content, rng):
    """Break the JSON of the header: cut it, nest it, repeat a key, pad it, change its encoding."""
    length = 8 + int.from_bytes(content[:8], "little")
    text, data = content[8:length], content[length:]
    place = rng.integers(len(text))
    inserted = [b"[" * 100_000, b"{" * 300_000, b'{"a":' * 5000, b"\xff\xfe", b"\0", b'","', b"\\", b"1" * 5000, b"NaN"]
    match rng.integers(6):
        case 0:
            text = text[:place]
        case 1:
            text = text[:place] + inserted[rng.integers(len(inserted))] + text[place:]
        case 2:
            text = text.rstrip()[:-1] + b"," + text[1:]
        case 3:
            text += b" " * int(rng.choice([1, 1000, 100_000, MAX_HEADER_BYTES]))
        case 4:
            text = text.decode().encode(str(rng.choice(["utf-16", "utf-32", "utf-8-sig"])))
        case 5:
            text = text[:-1] + b',"a":' * int(rng.integers(3)) + b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    return put_together(text, None, data)


def edit_array(content, rng):
    """Write numbers that are not finite, or huge."""
    header, document, data = take_apart(content)
    values = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
    values[rng.integers(len(values), size=rng.integers(1, 4))] = rng.choice([np.nan, np.inf, -np.inf, 3e38, 0.0])
    return put_together(header, document, values.tobytes() + data[len(values) * 4 :])


def places_in(node, path=()):
    """Yield the path of keys to every node of a document."""
    if path:
        yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from places_in(node[key], (*path, key))


def edit_document(content, rng):
    """Drop, repeat, retype, enlarge or rename one to three nodes of the document."""
    header, document, data = take_apart(content)
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
                node[key] = deepcopy((HUGE + ODD)[rng.integers(len(HUGE + ODD))])
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
    text = json.dumps(document)
    if rng.random() < 0.1:
        text = flip(text.encode(), rng).decode("utf-8", "replace")
    return put_together(header, text, data)


ACCIDENTS = [flip, cut, lose_the_beginning, insert, swap, append, zeros]
DELIBERATE = [flip_and_update_checksum, lie_about_the_header, edit_header, edit_text, edit_array]
CHANGES = [*ACCIDENTS, *DELIBERATE, *[edit_document] * 3]


def fuzz(n, seed=0, changes=CHANGES):
    """Modify the golden files `n` times; return how often each change was refused or accepted, and the slowest load."""
    rng = np.random.default_rng(seed)
    originals = {path: path.read_bytes() for path in sorted(GOLDEN.glob("*.chainrule"))}
    predictions = {path: predict(load(path)) for path in originals}
    outcomes, slowest = Counter(), (0.0, "")
    with TemporaryDirectory() as folder:
        changed = Path(folder) / "m.chainrule"
        for k in range(n):
            path = list(originals)[rng.integers(len(originals))]
            change = changes[rng.integers(len(changes))]
            content = change(originals[path], rng)
            changed.write_bytes(content)
            start = process_time()
            model, case = None, f"case {k} of seed {seed}: {change.__name__} of {path.name}"
            try:
                model = load(changed)
            except ModelFileError:
                pass
            except BaseException as error:
                raise AssertionError(f"{case}: {error!r}") from error
            seconds = process_time() - start
            slowest = max(slowest, (seconds, case))
            outcomes[change.__name__, "refused" if model is None else "accepted"] += 1
            if model is not None and content != originals[path]:
                assert change not in ACCIDENTS, f"{case} was not detected"
                check_predictions(model, predictions[path], case)
    return outcomes, slowest


def check_predictions(model, expected, case):
    """A file that was modified deliberately is another model, which may refuse the rows."""
    try:
        with np.errstate(all="ignore"):
            actual = predict(model)
    except ValueError:
        return
    assert len(actual) == len(expected), case


if __name__ == "__main__":
    total, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    outcomes, (slowest, slowest_case) = fuzz(total, seed)
    for (change, outcome), count in sorted(outcomes.items()):
        print(f"{change:<22} {outcome:<8} {count:>6,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert slowest < MAX_SECONDS, f"{slowest_case} took {slowest:.1f} s"
    assert peak < MAX_BYTES, f"{peak:,} bytes"
    print(f"{total:,} modified files; slowest load: {slowest:.3f} s, peak memory: {peak / 2**20:.0f} MB")
