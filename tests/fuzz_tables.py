"""Tables that are written differently are learned as well: run as a script, `python tests/fuzz_tables.py 40 [seed]`.

Each kind of spelling is drawn so many times. A table is trained on from the command line as it is and in another
spelling. The score on the same test rows must not be worse by a factor of two, and nothing may end in a traceback. The
ratio to the score of a linear model, which the target suits, is shown as well; missing cells are in it.
"""

import json
import sys
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from typer.testing import CliRunner

from chainrule.app import commands

N, N_TEST = 260, 80
COLORS = ("red", "green", "blue")


def plain_table(rng, task):
    """Return columns of text by name, and the test score of a linear model: an RMSE, or a log loss."""
    x, w, c = rng.normal(40, 12, N).round(2), np.exp(rng.normal(8, 0.4, N)).round(1), rng.integers(3, size=N)
    flag, day = rng.integers(2, size=N), rng.integers(0, 900, N)
    signal = x / 12 + (w - 3000) / 1500 + c + 0.7 * flag + day / 300 + 0.3 * rng.normal(size=N)
    M = np.column_stack([x, w, np.eye(3)[c], flag, day])
    M = (M - M.mean(0)) / M.std(0)
    old, new = slice(0, N - N_TEST), slice(N - N_TEST, N)
    if task == "number":
        y = (1000 + 250 * signal).round(1)
        errors = Ridge(1.0).fit(M[old], y[old]).predict(M[new]) - y[new]
        score, target = np.sqrt((errors**2).mean()), [f"{v:.1f}" for v in y]
    else:
        y = (signal > np.median(signal)).astype(int)
        P = LogisticRegression().fit(M[old], y[old]).predict_proba(M[new])
        score, target = -np.log(P[np.arange(N_TEST), y[new]]).mean(), ["yes" if v else "no" for v in y]
    start = date(2021, 3, 1)
    return {
        "size": [f"{v:.2f}" for v in x],
        "income": [f"{v:.1f}" for v in w],
        "color": [COLORS[k] for k in c],
        "member": ["true" if f else "false" for f in flag],
        "joined": [(start + timedelta(days=int(d))).isoformat() for d in day],
        "y": target,
    }, float(score)


def rewrite(cells, change):
    return [change(cell) for cell in cells]


def grouped(cell, mark, separator):
    whole, _, rest = cell.partition(".")
    return f"{int(whole):,}".replace(",", separator) + mark + rest


def missing_words(rng, columns):
    word = str(rng.choice(["#N/A", "unknown", "n.a.", "--", "<NA>", "NaT", "missing", "?", "null", "-", "N/A"]))
    rate = rng.uniform(0.05, 0.5)
    for name in ("size", "joined"):
        columns[name] = [word if rng.random() < rate else cell for cell in columns[name]]
    return f"{word} in {rate:.0%}", word


def number_formats(rng, columns):
    kind = rng.choice(["$", "euro", "unit", "percent", "minus", "thousands", "blank", "padded"])
    change = {
        "$": lambda cell: f"${grouped(cell, '.', ',')}",
        "euro": lambda cell: f"{cell} €",
        "unit": lambda cell: f"{cell} kg",
        "percent": lambda cell: f"{cell} %",
        "minus": lambda cell: f"−{cell}",
        "thousands": lambda cell: grouped(cell, ".", ","),
        "blank": lambda cell: grouped(cell, ".", "\u00a0"),
        "padded": lambda cell: f"  {cell} ",
    }[kind]
    for name in ("size", "income"):
        columns[name] = rewrite(columns[name], change)
    if rng.random() < 0.5 and columns["y"][0][:1].isdigit() and kind != "minus":
        columns["y"] = rewrite(columns["y"], change)
    return str(kind), None


def date_formats(rng, columns):
    form = str(rng.choice(["%d.%m.%Y", "%m/%d/%Y", "%d-%b-%y", "%Y%m%d", "%d %B %Y", "%Y/%m/%d", "%Y-%m-%d 00:00"]))
    columns["joined"] = [f"{date.fromisoformat(cell):{form}}" for cell in columns["joined"]]
    return form, None


def booleans(rng, columns):
    yes, no = [("1", "0"), ("yes", "no"), ("TRUE", "FALSE"), ("Y", "N"), ("ja", "nein")][rng.integers(5)]
    columns["member"] = [yes if cell == "true" else no for cell in columns["member"]]
    columns["color"] = [str(rng.choice([cell, f" {cell}", f"{cell} "])) for cell in columns["color"]]
    return f"{yes}/{no}", None


def bad_targets(rng, columns):
    row, word = int(rng.integers(N - N_TEST)), str(rng.choice(["unknown", "n/a", "?", "-"]))
    columns["y"][row] = word
    return f"{word} in row {row + 1}", None


def dialects(rng, columns):
    return "", None


KINDS = {kind.__name__: kind for kind in (missing_words, number_formats, date_formats, booleans, bad_targets, dialects)}


def written(columns, rng=None):
    """Return the text of a CSV file, in a random dialect if there is a generator."""
    separator, mark, encoding, first = ",", ".", "utf-8", ""
    if rng is not None:
        separator = str(rng.choice([";", "\t", "|"]))
        mark = str(rng.choice([".", ","]))
        encoding = str(rng.choice(["utf-8", "utf-8-sig", "cp1252", "utf-16"]))
        first = str(rng.choice(["", f"sep={separator}\n", "# exported\n"]))
    lines = [separator.join(columns)]
    for row in zip(*columns.values()):
        cells = [cell.replace(".", mark) if cell.replace(".", "", 1).isdigit() else cell for cell in row]
        lines.append(separator.join(f'"{cell}"' if separator in cell else cell for cell in cells))
    return (first + "\n".join(lines) + "\n").encode(encoding), f"{separator!r} {mark} {encoding} {first.strip()}"


def score_of(folder, old, new):
    """Train on one file and return the score on another, or the message with which the command line refuses it."""
    (folder / "a.csv").write_bytes(old)
    (folder / "b.csv").write_bytes(new)
    command = ["train", folder / "a.csv", "--target", "y", "--test", folder / "b.csv", "--out", folder / "m"]
    command += ["--folds", "2", "--epochs", "48", "--jobs", "1", "--json"]
    done = CliRunner().invoke(commands.app, [str(word) for word in command])
    if done.exit_code:
        assert done.exit_code == 2, f"{done.exception!r}\n{done.output}"
        return done.stderr.strip()
    scores = json.loads(done.stdout)["scores"]
    return scores["rmse"] if "rmse" in scores else scores["log_loss"]


def parts(columns):
    old = {name: cells[: N - N_TEST] for name, cells in columns.items()}
    return old, {name: cells[N - N_TEST :] for name, cells in columns.items()}


def main(n, seed=0):
    worst = 0
    with TemporaryDirectory() as folder:
        for kind, change in KINDS.items():
            for k in range(n):
                rng = np.random.default_rng([seed, k, list(KINDS).index(kind)])
                task = "number" if kind == "bad_targets" or rng.random() < 0.6 else "class"
                columns, linear = plain_table(rng, task)
                what, word = change(rng, changed := dict(columns))
                if word is not None:  # compare with empty cells: the values are lost for every model
                    columns = {
                        name: ["" if cell == word else cell for cell in cells] for name, cells in changed.items()
                    }
                plain = score_of(Path(folder), *(written(part)[0] for part in parts(columns)))
                dialect = rng if kind == "dialects" else None
                style = rng.bit_generator.state
                files = []
                for part in parts(changed):
                    if dialect is not None:
                        rng.bit_generator.state = style
                    content, shown = written(part, dialect)
                    files.append(content)
                found = score_of(Path(folder), *files)
                case = f"{kind} {k} ({task}: {what or shown})"
                if isinstance(found, str):
                    print(f"refused  {case}: {found.splitlines()[0]}")
                    continue
                ratio = found / plain
                worst = max(worst, ratio)
                print(
                    f"{'WORSE' if ratio > 2 else 'ok   '}  {ratio:.2f}  {case}, {found / linear:.2f} of a linear model",
                    flush=True,
                )
    print(f"worst ratio {worst:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
