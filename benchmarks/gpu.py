"""JAX on a device: whether the numbers are right, and times beside PyTorch and plain JAX.

    python benchmarks/gpu.py                # in less than 8 minutes, on the device of JAX's choice
    python benchmarks/gpu.py --small        # in a minute on a CPU
    python benchmarks/gpu.py --only dense   # some jobs only

Each job is a process with a time limit, and prints as it goes: first `gpu_checks.py`, in several
processes, then each network of `gpu_networks.py`. A row that fails says so, and the others go on;
at the end the exit status is 0 if all is well, 1 if something failed or is wrong, 3 if there was
not the time for all.

Times are wall-clock times of whole epochs, the least of several, of adam on data that lie on the
device; ``first`` is the first epoch, with all that is compiled. ``up`` and ``down`` are copies to
and from the device in an epoch (on a CPU, there is nothing to copy down). ``peak`` is the most
memory of the device that was in use (on a CPU, of the process, with all its libraries). Products
are of float32 throughout, or of TF32 in all libraries with ``--tf32``. PyTorch's rows need torch.
"""

import argparse
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from functools import partial

SCRIPT = os.path.abspath(__file__)
# Where the package is not installed, that of this checkout.
sys.path.append(os.path.dirname(os.path.dirname(SCRIPT)))
#: Seconds that a job may take.
LIMITS = {"checks": 170, "dense": 120, "lstm": 70, "conv": 70, "attention": 80}
#: Processes that check, at most, and what they tell XLA: not to look for the quickest code.
PARTS, QUICK = 6, "--xla_gpu_autotune_level=0"
#: Seconds of repeats, and that torch.compile needs at least.
REPEATS, COMPILING = 4, 25
FAILED, UNFINISHED = 1, 3


# ---- jobs, each a process ------------------------------------------------------------


def job(arguments, limit, **environment):
    """Begin a process; get it, its name, and when it has to be done."""
    command = [sys.executable, "-u", SCRIPT, *arguments]
    process = subprocess.Popen(command, env={**os.environ, **environment})
    return process, " ".join(arguments[1:3]), time.perf_counter() + limit


def finish(jobs):
    """Wait for jobs, end those that are late; get their exit statuses."""
    found = []
    for process, name, end in jobs:
        try:
            status = process.wait(max(0.1, end - time.perf_counter()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print(f"UNFINISHED {name}: it took too long", flush=True)
            status = UNFINISHED
        if status not in (0, UNFINISHED):
            print(f"FAILED {name}: exit status {status}", flush=True)
        found.append(status)
    return found


def all_jobs(asked):
    """Run what was asked for; get the exit status."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    end, statuses = time.perf_counter() + 60 * asked.minutes, []
    options = ["--small"] * asked.small + ["--tf32"] * asked.tf32
    options += ["--device", asked.device] if asked.device else []
    times = [name for name in asked.only if name != "checks"]
    if "checks" in asked.only:
        parts = 1 if asked.small else max(1, min(PARTS, (os.cpu_count() or 1) // 2))
        limit = 60 * asked.minutes
        limit = limit if asked.small else min(LIMITS["checks"], limit)
        flags = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
        print(f"numbers beside those of FAST_COMPILE, in {parts} processes:", flush=True)
        checks = [
            job(
                ["--job", "checks", str(i), str(parts), "--seconds", str(limit), *options],
                limit + 30,
                XLA_FLAGS=flags,
            )
            for i in range(parts)
        ]
        statuses += finish(checks)
    # In the small form, one process does for all.
    for group in [times] if asked.small else [[name] for name in times]:
        limit = end - time.perf_counter()
        limit = limit if asked.small else min(sum(LIMITS[name] for name in group), limit)
        if group and limit < 10:
            print(f"UNFINISHED {', '.join(group)}: no time is left", flush=True)
            statuses.append(UNFINISHED)
        elif group:
            arguments = ["--job", *group, "--seconds", str(limit), *options]
            statuses += finish([job(arguments, limit + 5)])
    wrong = any(status not in (0, UNFINISHED) for status in statuses)
    return FAILED if wrong else UNFINISHED if UNFINISHED in statuses else 0


def rows(functions):
    """Call functions that print a row each; get how many raised."""
    failed = 0
    for name, function in functions.items():
        try:
            function()
        except Exception as error:
            failed += 1
            said = (str(error).splitlines() or [""])[0][:200]
            print(f"FAILED {name}: {type(error).__name__}: {said}", flush=True)
    return failed


# ---- what is measured ----------------------------------------------------------------


@contextlib.contextmanager
def copies(found):
    """Count the copies to and from a device, which JAX's library in C++ tells on stderr."""
    import jax

    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            with jax.transfer_guard("log_explicit"):
                yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
        file.seek(0)
        text = file.read().decode(errors="replace")
    found["up"] = text.count("host-to-device transfer")
    found["down"] = text.count("device-to-host transfer")


def epochs(epoch, repeats):
    """Get the time of the first epoch, and the least of the others."""
    times, end = [], None
    while end is None or (len(times) <= repeats and time.perf_counter() < end):
        start = time.perf_counter()
        epoch()
        times.append(time.perf_counter() - start)
        end = end or time.perf_counter() + REPEATS
    return times[0], min(times[1:], default=math.nan)


def line(work, who, first, least, peak, others="", ratio=math.nan):
    step = f"{least / work.batches * 1e6:9.1f} us {least * 1e3:9.2f} ms {first:6.1f} s"
    print(f"  {who:<14} {step} {peak:>9} {ratio:>6.2f} {others}", flush=True)


def heading(work):
    print(f"{work.name}, {work.batches} batches")
    print(
        f"  {'':<14} {'step':>12} {'epoch':>12} {'first':>8} {'peak':>9} {'ours/':>6}", flush=True
    )


def device_peak(device):
    """Get the most memory in use, of a device of JAX or, where it is a CPU, of the process."""
    from timing import peak_memory

    stats = device.memory_stats() or {}
    found = stats.get("peak_bytes_in_use")
    return f"{peak_memory() if found is None else found / 2**20:.0f} MB"


def ours(work, asked, device, seen):
    """Time our epochs under JAX."""
    from theanets.training import setup

    net = work.model(work.layers, rng=1)
    options = {"mode": "JAX", "device": asked.device, "batch_size": work.batch, "progress": False}
    engine = setup.make_run(net, work.data(), None, "adam", **options).engine

    def epoch():
        loss = engine.epoch(0, 0, math.inf, None).monitors["loss"]
        assert math.isfinite(loss), "the loss is not finite"

    first, seen["ours"] = epochs(epoch, 2 if asked.small else 8)
    found = {}
    with copies(found):
        epoch()
    line(work, "theanets", first, seen["ours"], device_peak(device), f"{found}")


def plain(work, asked, device, seen):
    """Time a loop in Python around a compiled step of plain JAX, which takes rows by index."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    start, apply = work.plain(np.random.default_rng(0))
    x, y = (jax.device_put(array, device) for array in work.data())
    params = jax.device_put(start, device)
    moments = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]

    def loss(params, x, y):
        found = apply(params, x)
        if isinstance(work.out, int):
            picked = jnp.take_along_axis(jax.nn.log_softmax(found), y[:, None], axis=1)
            return -picked.mean()
        return ((found - y) ** 2).mean()

    def update(state, x, y, order, i):
        rows = jax.lax.dynamic_slice(order, (i * work.batch,), (work.batch,))
        params, (m, v), t = state
        value, grads = jax.value_and_grad(loss)(params, x[rows], y[rows])
        t = t + 1
        m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, grads)
        v = jax.tree.map(lambda a, g: 0.999 * a + 0.001 * g * g, v, grads)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        new = jax.tree.map(lambda p, a, b: p - rate * a / (jnp.sqrt(b) + 1e-8), params, m, v)
        return (new, [m, v], t), value

    step = jax.jit(update, donate_argnums=0)
    state = [(params, moments, jnp.float32(0))]
    rng = np.random.default_rng(0)

    def epoch():
        order = jax.device_put(rng.permutation(len(x)).astype("int32"), device)
        for i in range(work.batches):
            state[0], value = step(state[0], x, y, order, i)
        assert math.isfinite(float(value)), "the loss is not finite"

    with jax.default_device(device):
        first, least = epochs(epoch, 2 if asked.small else 5)
    line(work, "plain JAX", first, least, "", ratio=seen.get("ours", math.nan) / least)


def torch_rows(work, asked, seen, compiled, left):
    """Time epochs of PyTorch, eager or by torch.compile."""
    from peers import have

    who = "torch.compile" if compiled else "PyTorch eager"
    torch = have("torch")
    if torch is None or (compiled and left() < COMPILING):
        why = "it is not installed" if torch is None else "there is not the time"
        print(f"  {who:<14} left out: {why}", flush=True)
        return
    gpu = torch.cuda.is_available() and not str(asked.device).startswith("cpu")
    where = "cuda" if gpu else "cpu"
    torch.set_float32_matmul_precision("high" if asked.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = asked.tf32
    net = work.torch(torch).to(where)
    optimizer = torch.optim.Adam(net.parameters())
    x, y = (torch.from_numpy(array) for array in work.data())
    x = x.permute(0, 3, 1, 2).contiguous() if len(work.shape) == 3 else x
    x, y = x.to(where), (y.long() if isinstance(work.out, int) else y).to(where)
    kinds = torch.nn.CrossEntropyLoss, torch.nn.MSELoss
    criterion = kinds[0 if isinstance(work.out, int) else 1]()

    def loss(x, y):
        return criterion(net(x), y)

    loss = torch.compile(loss) if compiled else loss

    def epoch():
        order = torch.randperm(len(x), device=where)
        for rows in order.split(work.batch):
            optimizer.zero_grad()
            value = loss(x[rows], y[rows])
            value.backward()
            optimizer.step()
        assert math.isfinite(value.item()), "the loss is not finite"  # which waits for the end

    if gpu:
        torch.cuda.reset_peak_memory_stats()
    first, least = epochs(epoch, 2 if asked.small else 5)
    peak = f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MB" if gpu else ""
    line(work, who, first, least, peak, ratio=seen.get("ours", math.nan) / least)


# ---- the processes -------------------------------------------------------------------


def one_job(asked):
    """Do what this process is for; get its exit status."""
    started = time.perf_counter()
    import jax

    import theanets
    from theanets.linkers import jax_devices

    name = asked.device or theanets.devices("JAX")[0]
    device = jax_devices.known()[name]
    precision = "tensorfloat32" if asked.tf32 else "float32"
    if asked.job[0] == "checks":
        import gpu_checks

        # What is compared has to be computed alike.
        jax.config.update("jax_default_matmul_precision", "float32")
        mode = f"JAX@{name}" if asked.device else "JAX"
        on_cpu, (part, parts) = device.platform == "cpu", map(int, asked.job[1:])
        failed, left = gpu_checks.run(mode, on_cpu, asked.small, part, parts, asked.seconds)
        return FAILED if failed else UNFINISHED if left else 0
    import gpu_networks

    jax.config.update("jax_default_matmul_precision", precision)
    print(f"{device.device_kind} ({name}), {precision}, JAX {jax.__version__}", flush=True)

    def left():
        return asked.seconds - (time.perf_counter() - started)

    failed = 0
    for job in asked.job:
        works = [(work, {}) for work in gpu_networks.works(asked.small)[job]]
        for work, seen in works:
            heading(work)
            who = {
                "theanets": partial(ours, work, asked, device, seen),
                "PyTorch eager": partial(torch_rows, work, asked, seen, False, left),
                "plain JAX": partial(plain, work, asked, device, seen),
            }
            failed += rows(who)
        # Which takes long to compile.
        for work, seen in works[:0] if asked.small else works[:1]:
            heading(work)
            who = {"torch.compile": partial(torch_rows, work, asked, seen, True, left)}
            failed += rows(who)
    return FAILED if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="what a CPU can do in a minute")
    parser.add_argument("--device", help="the first one of theanets.devices('JAX')")
    parser.add_argument("--tf32", action="store_true", help="products in TF32, in all libraries")
    parser.add_argument("--minutes", type=float, default=7.5, help="for all")
    parser.add_argument("--only", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        sys.exit(one_job(asked))
    status = all_jobs(asked)
    print({0: "all is well", FAILED: "SOMETHING FAILED", UNFINISHED: "UNFINISHED"}[status])
    sys.exit(status)


if __name__ == "__main__":
    main()
