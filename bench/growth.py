"""Curves of growth: what an operation costs, and what the appliance holds in memory, against flows, rules and shards."""

import contextlib

from proxies import PEERS, appliance

FLOWS = [10, 100, 1_000, 5_000, 10_000, 15_000]
RULES = [10, 100, 1_000, 10_000, 100_000, 1_000_000]
SHARDS = [1, 2]
# Two descriptors a flow; 20,000 are all that a process may have on small machines.
FLOWS_PER_APPLIANCE = 9_000
SECONDS = 5
NEW = 'operation = "request"\nhttp = "1.1"\nconnection = "new"\nbytes = 1_024\nconcurrency = 8'
KEPT = 'operation = "request"\nhttp = "1.1"\nconnection = "kept"\nbytes = 1_024\nconcurrency = 4'
PASSED, INSPECTED = ("www.example.com", "pass"), ("login.microsoftonline.com", "inspect")


def curves(binaries, state, origin, measured, quick):
    """`measured` runs a profile against a subject and gives its result. Quick is a few points of a second each."""
    bench = Bench(binaries, state, origin, measured, 1 if quick else SECONDS)
    flows, rules = (FLOWS[:3], RULES[:4]) if quick else (FLOWS, RULES)
    found = [*bench.by_flows(flows), *bench.by_rules(rules), *bench.by_shards(SHARDS)]
    return {
        "schema": "penstock-growth/1",
        "title": "Growth of the appliance",
        "curves": found,
        "notes": [
            *bench.left_out,
            "CPU is user and system time of data plane and control; memory is their proportional size, without what the kernel "
            "holds for sockets and pipes.",
            f"Above {FLOWS_PER_APPLIANCE:,} flows two appliances share them, since a process may have 20,000 descriptors here.",
            "Load and origin share the machine's CPUs with the appliance: the curves are of cost, not of capacity.",
        ],
    }


class Bench:
    def __init__(self, binaries, state, origin, measured, seconds):
        self.binaries, self.state, self.origin, self.measured, self.seconds = binaries, state, origin, measured, seconds
        self.left_out = []  # Points that could not be measured, and why.

    def by_flows(self, counts):
        """Requests on kept inspected connections while so many other flows are held."""
        cost, memory = {}, {}
        for name, where in (("passed flows", PASSED), ("inspected flows", INSPECTED)):
            for count in counts:
                held = stream("held", where, f'operation = "idle"\nconcurrency = {count}')
                appliances = -(-count // FLOWS_PER_APPLIANCE)
                result = self.run(held + stream("alive", INSPECTED, KEPT), ramp=max(1, count // 250), count=appliances)
                cost.setdefault(name, []).append([count, result["cpu"]["us_per_operation"]])
                memory.setdefault(name, []).append([count, result["memory"]["end_bytes"] / 1e6])
        return [
            curve("A request while flows are held", "held flows", "CPU us a request", cost),
            curve("Memory of held flows", "held flows", "MB", memory),
        ]

    def by_rules(self, counts):
        cost, memory = {}, {}
        for count in counts:
            policy = self.state / f"rules-{count}.toml"
            policy.write_text(document(count))
            try:
                result = self.run(stream("new", PASSED, NEW), policy=policy)
            except SystemExit as why:
                self.left_out.append(f"{count:,} rules are left out: {str(why).rsplit(']: ', 1)[-1].strip()}")
                continue
            cost.setdefault("pass-new", []).append([count, result["cpu"]["us_per_operation"]])
            memory.setdefault("both daemons", []).append([count, result["memory"]["end_bytes"] / 1e6])
        return [
            curve("A passed connection under rules", "host rules", "CPU us a connection", cost),
            curve("Memory of rules", "host rules", "MB", memory),
        ]

    def by_shards(self, counts):
        cost = {}
        for name, where, work in (("pass-new", PASSED, NEW), ("inspect-new", INSPECTED, NEW), ("inspect-keep-alive", INSPECTED, KEPT)):
            for count in counts:
                result = self.run(stream("load", where, work), shards=count)
                cost.setdefault(name, []).append([count, result["cpu"]["us_per_operation"]])
        return [curve("An operation by shards", "shards", "CPU us an operation", cost)]

    def run(self, streams, ramp=1, shards=2, **options):
        """A fresh appliance for each point."""
        profile = self.state / "growth.toml"
        profile.write_text(f'title = "Growth"\nseconds = {self.seconds}\nramp_seconds = {ramp}\nsources = 8\n{streams}')
        with contextlib.ExitStack() as stack:
            subject = appliance(self.binaries, self.state, self.origin, stack, shards=shards, **options)
            return self.measured(subject, profile)


def stream(name, where, work):
    host, verdict = where
    return f'\n[[stream]]\nname = "{name}"\nhost = "{host}"\nverdict = "{verdict}"\n{work}\n'


def document(rules):
    """The bench's policy with so many denied hosts, half of them suffixes."""
    names = ", ".join(f'"{"*." if number % 2 else ""}blocked{number}.example.net"' for number in range(rules))
    text = (PEERS / "penstock.toml").read_text()
    return text.replace('hosts = ["blocked.example.com"]', f'hosts = ["blocked.example.com", {names}]')


def curve(title, x, y, lines):
    return {"title": title, "x": x, "y": y, "lines": [{"name": name, "points": points} for name, points in lines.items()]}
