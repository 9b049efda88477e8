"""Bars that are no comparison with another proxy: what a sign-in takes longer than without the appliance when the origin is
far away, and whether a policy of 100,000 rules is put in force unnoticed."""

import asyncio
import contextlib
import statistics
import subprocess
import threading

from growth import document, stream
from proxies import INSPECTED, PASSED, RESUMED, Subject, first_line, start, start_appliance

ROUND_TRIP_SECONDS = 0.030
RULES = 100_000
SIGN_IN = 'operation = "request"\nhttp = "1.1"\nconnection = "{}"\nbytes = 4_000\nrate = {}\nconcurrency = 50'
KEPT = 'operation = "request"\nhttp = "1.1"\nconnection = "kept"\nbytes = 1_024\nrate = 1_000\nconcurrency = 16'
INSTALL_PAUSE_SECONDS = 1
CONTROL = 'state_directory = "{home}"\nlisten = "127.0.0.1:0"\n[link]\nsocket = "{home}/link.sock"\n[ca]\n'
LATENCY_BAR, INSTALL_BAR = 1.15, 1.10


def measure(binaries, state, origin, load, runs, seconds):
    bench = Bench(binaries, state, load, runs, seconds)
    with contextlib.ExitStack() as stack:
        return [*bench.sign_in(origin, stack), *bench.install(origin, stack)]


class Bench:
    def __init__(self, binaries, state, load, runs, seconds):
        self.binaries, self.state, self.load, self.runs, self.seconds = binaries, state, load, runs, seconds

    def sign_in(self, origin, stack):
        """One request on a new connection, with and without the appliance, to an origin at the end of a long line."""
        far = {name: stack.enter_context(distance(origin[name])) for name in ("listen", "resuming")}
        direct, _, pids, _ = start_appliance(self.binaries, self.state, {**origin, **far}, stack)
        appliance = Subject("penstock", pids, "direct", {}, self.state)
        nobody = Subject("direct", [], "direct", {}, self.state)
        nobody.proxy_cas = appliance.proxy_cas  # It is asked for one, and never shows it.
        for kind, host, where in (("new", INSPECTED, "listen"), ("resumed", RESUMED, "resuming")):
            found = {}
            for _ in range(self.runs):
                for subject, verdict, address in ((nobody, "pass", far[where]), (appliance, "inspect", direct)):
                    profile = self.profile(stream("sign-in", (host, verdict), SIGN_IN.format(kind, 20)))
                    latency = self.load(self.binaries, subject, profile, address, [])["streams"][0]["latency"]["operation"]
                    found.setdefault(subject.name, []).append(latency["p50"] / 1e3)
            yield bar(f"sign-in at 30 ms, {kind}", "p50 ms", found["direct"], found["penstock"], LATENCY_BAR)

    def install(self, origin, stack):
        """Kept requests and new connections in an open loop, while one policy after the other is applied: to a control
        that has no data plane, and to the appliance's. Control and the command stand beside load and origin, and yield to
        them as far as the kernel can: what they cost these is the same both times. What the data plane does for a policy
        stands on its CPU."""
        home = self.state / "install"
        home.mkdir()
        (home / "origin.pem").write_bytes((self.state / "origin.pem").read_bytes())
        direct, _, pids, admin = start_appliance(self.binaries, home, origin, stack)
        alone, other_admin, token = start_control(self.binaries, home / "other", stack)
        for control in (pids[1], alone):
            subprocess.run(["taskset", "-apc", "1", str(control)], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["chrt", "--all-tasks", "--idle", "--pid", "0", str(control)], check=True)
        subject = Subject("penstock", pids, "direct", {}, home)
        files = [home / f"rules-{number}.toml" for number in range(2)]
        for number, file in enumerate(files):
            file.write_text(document(RULES + number))
        command = ["taskset", "-c", "1", "chrt", "--idle", "0", self.binaries / "penstock", "policy", "apply", "--admin"]
        elsewhere, here = [*command, other_admin, "--token-file", token], [*command, admin, "--token-file", home / "penstock/admin.token"]
        work = stream("kept", (INSPECTED, "inspect"), KEPT) + stream("new", (PASSED, "pass"), SIGN_IN.format("new", 100))
        found, failures, installs = {}, 0, 0
        for _ in range(self.runs):
            for is_here, apply in enumerate((elsewhere, here)):
                with applying(apply, files) as outcomes:
                    result = self.load(self.binaries, subject, self.profile(work), direct, [])
                installs += len(outcomes) * is_here
                failures += sum(map(bool, outcomes)) + sum(result["total"]["whole"]["failures"].values())
                for one in result["streams"]:
                    found.setdefault((one["name"], is_here), []).append(one["latency"]["operation"]["p99"] / 1e3)
        for name in ("kept", "new"):
            row = bar(f"install of 100,000 rules, {name}", "p99 ms", found[name, 0], found[name, 1], INSTALL_BAR)
            yield {**row, "failures": failures, "installs": installs, "met": row["met"] and not failures and installs > 0}

    def profile(self, streams):
        file = self.state / "bars.toml"
        file.write_text(f'title = "Bars"\nseconds = {self.seconds}\nramp_seconds = 1\nsources = 4\n{streams}')
        return file


def bar(name, unit, before, after, limit):
    before, after = statistics.median(before), statistics.median(after)
    return {"name": name, "unit": unit, "without": before, "with": after, "ratio": after / before, "bar": limit, "met": after <= limit * before}


def start_control(binaries, home, stack):
    """A control without a data plane: its process, where its admin API listens, and the file with the token."""
    home.mkdir()
    (home / "control.toml").write_text(CONTROL.format(home=home))
    process = start([binaries / "penstock-control", "--config", home / "control.toml"], home / "control.log", stack, cpu=1)
    return process.pid, f"http://{first_line(process)['admin']}", home / "admin.token"


@contextlib.contextmanager
def applying(apply, files):
    """Publishes one file after the other, again and again; the command's exit codes."""
    outcomes, stop = [], threading.Event()

    def publish():
        while not stop.is_set():
            outcomes.append(subprocess.run([*map(str, apply), files[len(outcomes) % 2]], stdout=subprocess.DEVNULL).returncode)
            stop.wait(INSTALL_PAUSE_SECONDS)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def distance(address):
    """The address of a line to `address` on which everything takes half a round trip each way. The connection itself
    stands at once, so its round trip is waited for before the first bytes move."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        serving = asyncio.run_coroutine_threadsafe(asyncio.start_server(lambda *near: line(address, *near), "127.0.0.1"), loop)
        host, port = serving.result().sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def line(address, reader, writer):
    host, port = address.rsplit(":", 1)
    with contextlib.suppress(OSError):
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        begin = asyncio.get_running_loop().time() + ROUND_TRIP_SECONDS
        await asyncio.gather(carry(reader, far_writer, begin), carry(far_reader, writer, begin))


async def carry(reader, writer, begin):
    loop, under_way = asyncio.get_running_loop(), asyncio.Queue()

    async def arrive():
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
        with contextlib.suppress(OSError):
            writer.close()

    arriving = asyncio.create_task(arrive())
    data = b"?"
    while data:
        data = b""
        with contextlib.suppress(OSError):
            data = await reader.read(65_536)
        under_way.put_nowait((max(loop.time(), begin) + ROUND_TRIP_SECONDS / 2, data))
    await arriving
