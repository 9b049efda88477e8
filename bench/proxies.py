"""The proxies that bench/run measures: their packages, how each is started, and where it listens."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
INSPECTED, RESUMED, PASSED = "login.microsoftonline.com", "login.windows.net", "www.example.com"
PACKAGES = {"haproxy": ["haproxy"], "nginx": ["nginx", "libnginx-mod-stream"], "squid": ["squid-openssl"]}
OWN = ("penstock", "penstock-connect", "penstock-epoll")


class Subject:
    """A proxy under test: where it listens for a row, how it is told the destination, which processes it is.

    `addresses` has one for a row's own name, or for its kind: pass or inspect. None leaves the row out; several stand
    with commas between them."""

    def __init__(self, name, pids, via, addresses, state, port=443):
        self.name, self.pids, self.via, self.addresses, self.port = name, pids, via, addresses, port
        self.origin_ca = state / "origin.pem"
        self.proxy_cas = [state / "penstock/ca/root.pem" if name in OWN else state / "signer-certificate.pem"]

    def address(self, row):
        return self.addresses.get(row, self.addresses.get(kind(row)))


def kind(row):
    return "inspect" if "inspect" in row else "pass"


def install(names):
    missing = [package for name in names for package in PACKAGES.get(name, []) if not shutil.which(name_of(name))]
    if not missing:
        return
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*prefix, "apt-get", "update", "-q"], check=True, env=environment, stdout=subprocess.DEVNULL)
    command = [*prefix, "apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def name_of(name):
    return "haproxy" if name == "haproxy-splice" else name


def start_origin(binaries, state, stack, cpu=1):
    pin = [] if cpu is None else ["--cpu", cpu]
    command = [binaries / "penstock-load", "origin", "--ca-out", state / "origin.pem", *pin]
    return first_line(start(command, state / "origin.log", stack, cpu=None))


def start(command, log, stack, cpu=0):
    pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
    with open(log, "wb") as errors:
        process = subprocess.Popen([*pin, *map(str, command)], stdout=subprocess.PIPE, stderr=errors)
    stack.callback(stop, process)
    process.log = log
    return process


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def first_line(process):
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{process.args}: {pathlib.Path(process.log).read_text()[-2000:]}")
    return json.loads(line)


def penstock(binaries, state, origin, shards, policy=PEERS / "penstock.toml"):
    hellos = (word for name in ("hello.example.com", "login.example.com") for word in ("--host", f"{name}={origin['hello']}"))
    return [
        binaries / "penstock", "up", "--state", state / "penstock", "--policy", policy,
        "--listen", "127.0.0.1:0", "--transparent", "direct=127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", shards,
        "--upstream-ca", state / "origin.pem", "--host", f"*={origin['listen']}",
        "--host", f"{RESUMED}={origin['resuming']}", *hellos,
    ]


def appliance(binaries, state, origin, stack, shards, count=1, policy=PEERS / "penstock.toml"):
    """So many appliances as one subject, asked by CONNECT and bound to no CPU."""
    homes, pids, addresses = [], [], []
    for number in range(count):
        home = state / f"appliance-{len(list(state.glob('appliance-*')))}"
        home.mkdir()
        shutil.copy(state / "origin.pem", home / "origin.pem")
        command = penstock(binaries, home, origin, shards, policy)
        ready = first_line(start(command, home / "penstock.log", stack, cpu=None))
        homes.append(home)
        pids += [ready["pids"]["dataplane"], ready["pids"]["control"]]
        addresses.append(ready["proxy"])
    subject = Subject("penstock", pids, "connect", {"pass": ",".join(addresses)}, homes[0])
    subject.proxy_cas = [home / "penstock/ca/root.pem" for home in homes]
    return subject


def start_penstock(subjects, binaries, state, origin, stack):
    if "penstock" in subjects:
        return
    direct, proxy, pids, _ = start_appliance(binaries, state, origin, stack)
    subjects["penstock"] = Subject("penstock", pids, "direct", {"pass": direct, "inspect": direct}, state)
    subjects["penstock-connect"] = Subject("penstock-connect", pids, "connect", {"pass": proxy, "inspect": proxy}, state)


def start_penstock_epoll(subjects, binaries, state, origin, stack):
    """On the engine for hosts that refuse io_uring."""
    home = state / "epoll"
    home.mkdir()
    shutil.copy(state / "origin.pem", home / "origin.pem")
    (home / "settings.toml").write_text('io_engine = "epoll"\n')
    direct, _, pids, _ = start_appliance(binaries, home, origin, stack, "--dataplane-config", home / "settings.toml")
    subjects["penstock-epoll"] = Subject("penstock-epoll", pids, "direct", {"pass": direct, "inspect": direct}, home)


def start_appliance(binaries, home, origin, stack, *more):
    """Where its transparent listener and its proxy listen, its processes, and where its admin API listens."""
    ready = first_line(start([*penstock(binaries, home, origin, shards=1), *more], home / "penstock.log", stack))
    return ready["transparent"][0]["address"], ready["proxy"], [ready["pids"]["dataplane"], ready["pids"]["control"]], ready["admin"]


def start_haproxy(subjects, binaries, state, origin, stack):
    if "haproxy" in subjects or "haproxy-splice" in subjects:
        return
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("PASS", "SPLICE", "INSPECT", "RESUMED", "HTTP2")}
    config = configure("haproxy.cfg", state, ORIGIN=origin["listen"], RESUMING=origin["resuming"], **ports)
    process = start(["haproxy", "-db", "-f", config], state / "haproxy.log", stack)
    await_ports(process, ports.values())
    plain = {
        "pass": ports["PASS"], "inspect": ports["INSPECT"], "inspect-resumed": ports["RESUMED"], "inspect-http2": ports["HTTP2"],
    }
    subjects["haproxy"] = Subject("haproxy", [process.pid], "direct", plain, state)
    splice = {"pass": ports["SPLICE"], "idle-pass-memory": None}
    subjects["haproxy-splice"] = Subject("haproxy-splice", [process.pid], "direct", splice, state)


def start_nginx(subjects, binaries, state, origin, stack):
    address = f"127.0.0.1:{free_port()}"
    config = configure("nginx.conf", state, ORIGIN=origin["listen"], PASS=address)
    process = start(["nginx", "-c", config, "-e", state / "nginx-error.log"], state / "nginx.log", stack)
    await_ports(process, [address])
    subjects["nginx"] = Subject("nginx", [process.pid], "direct", {"pass": address}, state)


def start_squid(subjects, binaries, state, origin, stack):
    address, port = f"127.0.0.1:{free_port()}", origin["listen"].rsplit(":", 1)[1]
    home = state / "squid"  # Owned by the user that Squid's helper runs as.
    home.mkdir()
    for name in ("origin.pem", "signer.pem"):
        shutil.copy(state / name, home / name)
    (home / "hosts").write_text(f"127.0.0.1 {INSPECTED}\n127.0.0.1 {PASSED}\n")
    helper = "/usr/lib/squid/security_file_certgen"
    subprocess.run([helper, "-c", "-s", home / "certificates", "-M", "4MB"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["chown", "-R", "proxy:proxy", home], check=True)
    config = configure("squid.conf", home, ORIGIN_PORT=port, PASS=address)
    process = start(["squid", "-N", "-f", config], home / "squid.log", stack)
    await_ports(process, [address])
    both = {"pass": address, "inspect": address, "inspect-resumed": None, "inspect-http2": None}
    subjects["squid"] = Subject("squid", [process.pid], "connect", both, state, int(port))


STARTERS = {
    "penstock": start_penstock,
    "penstock-connect": start_penstock,
    "penstock-epoll": start_penstock_epoll,
    "haproxy": start_haproxy,
    "haproxy-splice": start_haproxy,
    "nginx": start_nginx,
    "squid": start_squid,
}


def configure(name, state, **places):
    text = (PEERS / name).read_text()
    for key, value in {"STATE": str(state), **places}.items():
        text = text.replace(f"@{key}@", value)
    (state / name).write_text(text)
    return state / name


def make_signer(state):
    """The authority that the peers mint with, and the default certificate that HAProxy asks for."""
    certificate, key = state / "signer-certificate.pem", state / "signer-key.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    subprocess.run([*new, "-subj", "/CN=Peers", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    both = certificate.read_text() + key.read_text()
    (state / "signer.pem").write_text(both)
    (state / "default.pem").write_text(both)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_ports(process, addresses):
    deadline = time.monotonic() + 20
    for address in addresses:
        host, port = address.rsplit(":", 1)
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{process.args} does not listen: {pathlib.Path(process.log).read_text()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                break
            time.sleep(0.1)
