"""Run the benchmarks and print their tables: ours, and the peers that are installed.

python benchmarks/run.py                             # all, ten minutes and more
python benchmarks/run.py --quick                     # tiny sizes, once: does all of it work?
python benchmarks/run.py --only epochs predict
python benchmarks/run.py --json FILE --plot docs/images/benchmarks.svg

Each section is a process of its own, held to one thread. Times are of the CPU, in
the cells the minimum and in brackets the median; `ratio` is our minimum to the
peer's, so that less than 1 is faster than it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import THREADS

NAMES = ("epochs", "steps", "predict", "autoencoder", "accuracy", "starts", "recurrence")
NAMES += ("convolutions", "sparse_inputs", "memory", "threads", "scaling")


def measure(names, quick):
    """Run sections in a process with one thread, and get their titles and rows."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "rows.json")
        command = [sys.executable, __file__, "--into", str(found), "--only", *names]
        command += ["--quick"] if quick else []
        subprocess.run(command, check=True, env={**os.environ, **THREADS})
        return json.loads(found.read_text())


def run_here(names, quick, into):
    import suite
    import timing

    found = {"machine": timing.machine(), "sections": {}}
    for name in names:
        section = suite.SECTIONS[name]
        rows = []
        for row in section(quick):
            rows.append(row)
            print(f"{name}: {row['work']}", file=sys.stderr, flush=True)
        found["sections"][name] = {"title": section.__doc__, "rows": rows}
    Path(into).write_text(json.dumps(found))


def cell(times):
    scale, unit = next(
        (s, u) for s, u in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if times["min"] * s >= 1 or s == 1e6
    )
    return f"{times['min'] * scale:.3g} ({times['median'] * scale:.3g}) {unit}"


def table(rows):
    """Write rows as a table of Markdown."""
    if "sizes" in rows[0]:
        head = ["work", "sizes", "times", "exponent", "upper half"]
        lines = [
            [
                row["work"],
                f"{row['sizes'][0]} to {row['sizes'][-1]}",
                f"{row['seconds'][0] * 1e3:.3g} to {row['seconds'][-1] * 1e3:.3g} ms",
                f"{row['exponent']:.2f}",
                f"{row['exponent of the upper half']:.2f}",
            ]
            for row in rows
        ]
    else:
        names = list(dict.fromkeys(n for row in rows for n in row.get("times") or row["values"]))
        peers = [name for name in names if "ours" in names and name != "ours"]
        head = ["work", *names, *(f"ratio to {peer}" for peer in peers)]
        lines = []
        for row in rows:
            found = row.get("times") or row["values"]
            show = cell if "times" in row else "{:.0f}".format
            least = {k: v["min"] if "times" in row else v for k, v in found.items()}
            cells = [show(found[name]) if name in found else "" for name in names]
            for peer in peers:
                known = least.get(peer) and least.get("ours") is not None
                cells.append(f"{least['ours'] / least[peer]:.2f}" if known else "")
            lines.append([row["work"], *cells])
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(found):
    """Write what was measured, and on what machine, as Markdown."""
    machine = dict(found["machine"])
    words = f"{machine.pop('cpu')}, {machine.pop('cores')} cores, {machine.pop('system')}"
    words += f", BLAS: {machine.pop('blas')}; "
    words += ", ".join(f"{name} {version}" for name, version in machine.items())
    parts = [words + "."]
    for section in found["sections"].values():
        parts += [f"### {section['title']}", table(section["rows"])]
    return "\n\n".join(parts)


def plot(rows, target):
    """Draw the curves of the section on scaling."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "theanets"
    figure, axes = pyplot.subplots(1, len(rows), figsize=(3 * len(rows), 3), layout="constrained")
    for axis, row in zip(axes, rows):
        times = [1e3 * seconds for seconds in row["seconds"]]
        axis.loglog(row["sizes"], times, "o-", color="C0")
        axis.set_xticks(row["sizes"][::2], list(map(str, row["sizes"][::2])))
        axis.minorticks_off()
        axis.set_xlabel(row["work"])
        axis.set_title(f"exponent {row['exponent of the upper half']:.2f} (upper half)", size=9)
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("milliseconds")
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None} if str(target).endswith(".svg") else None)
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, timed once")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="SECTION",
                        help=f"some of: {', '.join(NAMES)}")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="add what was measured to this file")
    parser.add_argument("--plot", metavar="FILE", help="draw the curves of scaling")
    parser.add_argument("--show", action="store_true", help="measure nothing, print the file again")
    parser.add_argument("--into", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.into:
        run_here(options.only, options.quick, options.into)
        return
    found = {"machine": {}, "sections": {}}
    if options.json and Path(options.json).exists():
        found = json.loads(Path(options.json).read_text())
    groups = [options.only] if options.quick else [[name] for name in options.only]
    for names in [] if options.show else groups:
        new = measure(names, options.quick)
        found["machine"] = new["machine"]
        found["sections"] |= new["sections"]
        if options.json:
            Path(options.json).write_text(json.dumps(found, indent=1))
    found["sections"] = {n: found["sections"][n] for n in NAMES if n in found["sections"]}
    print(report(found))
    if options.plot:
        plot(found["sections"]["scaling"]["rows"], options.plot)


if __name__ == "__main__":
    main()
