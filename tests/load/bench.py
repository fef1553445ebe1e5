#!/usr/bin/env python3
"""Figures of pilotd under load, each beside that of a server that only sends the same bytes (pilotd-floor).

For each protocol: write the YAML of a mesh, start pilotd on it, let simulated sidecars connect and edits happen
(pilotd-load), record what one of them received, and do the same with pilotd-floor, which serves the recording. Then,
with few proxies, pilotd alone at growing numbers of services. Ends with a table of figures against their goals and,
with --out, JSON of everything.

Exit status: 0, 1 if something could not run or a count is wrong (a proxy without configuration, bytes where none
should be), 2 if only goals of time, processor or memory are missed and --strict is given.
"""
import argparse, json, os, resource, shlex, shutil, signal, socket, statistics, subprocess, sys, tempfile, time
import urllib.request

GOALS = {"storm": 2.0, "memory_mb": 60.0, "endpoint": 3.0, "flat": 1.5, "kb_per_service": 12.0}


class Failed(Exception):
    pass


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def cpu_ms(pid):
    # The clock id of another process, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e6


def memory_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return {k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in f) if k in ("VmRSS", "VmHWM")}


class Server:
    """A child process; stopped for certain at the end of its `with` block."""

    def __init__(self, args, log):
        self.log = log
        self.out = open(log, "w")
        self.proc = subprocess.Popen(args, stdout=self.out, stderr=subprocess.STDOUT)
        self.pid = self.proc.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.out.close()

    def wait(self, what, seconds):
        """Until what() is true."""
        end = time.time() + seconds
        while time.time() < end:
            if self.proc.poll() is not None:
                break
            got = what()
            if got:
                return got
            time.sleep(0.02)
        tail = open(self.log, errors="replace").read()[-2000:]
        raise Failed(f"{self.proc.args[0]} did not get ready:\n{tail}")


def start_pilotd(a, config, tmp):
    grpc, http, mon = free_ports(3)
    mesh = os.path.join(tmp, "mesh.yaml")
    with open(mesh, "w") as f:
        f.write("{}\n")
    s = Server(shlex.split(a.server) + ["--configDir", config, "--meshConfig", mesh,
                                        "--grpcAddr", f"127.0.0.1:{grpc}", "--httpAddr", f"127.0.0.1:{http}",
                                        "--monitoringAddr", f"127.0.0.1:{mon}", "--secureGRPCAddr=", "--httpsAddr="],
               os.path.join(tmp, "pilotd.log"))
    s.port = grpc

    def ready():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{http}/ready", timeout=1).status == 200
        except OSError:
            return False

    try:
        begin = time.time()
        s.wait(ready, 120)
        s.start = {"ready_s": round(time.time() - begin, 3), "cpu_ms": round(cpu_ms(s.pid), 1), **memory_kb(s.pid)}
    except BaseException:
        s.__exit__()
        raise
    return s


def start_floor(a, record, tmp):
    log = os.path.join(tmp, "floor.log")
    s = Server([os.path.join(a.bin, "pilotd-floor"), "--record", record, "--threads", str(a.floor_threads)], log)
    try:
        s.port = s.wait(lambda: next((int(x.split()[1]) for x in open(log) if x.startswith("port ")), 0), 30)
    except BaseException:
        s.__exit__()
        raise
    return s


def world_args(services, pods):
    return ["--services", str(services), "--pods", str(pods)]


def generate(a, config, services, pods):
    shutil.rmtree(config, ignore_errors=True)
    subprocess.run([os.path.join(a.bin, "pilotd-load"), "generate", *world_args(services, pods), config], check=True)


def load(a, server, out, services, pods, proxies, protocol, settle, more):
    """One run of pilotd-load; prints its table and returns its report."""
    args = [os.path.join(a.bin, "pilotd-load"), "run", "--address", f"127.0.0.1:{server.port}", "--pid", str(server.pid),
            *world_args(services, pods), "--proxies", str(proxies), "--protocol", protocol, "--threads", str(a.threads),
            "--timeout", str(a.timeout * 1000), "--settle", str(settle), "--idle", str(a.idle), "--json", out, *more]
    # Not more than all of its phases and rounds may take together.
    done = subprocess.run(args, timeout=a.timeout * (8 + 2 * a.rounds))
    if done.returncode not in (0, 3):
        raise Failed(f"pilotd-load failed with status {done.returncode}")
    report = json.load(open(out))
    report["phases"] = {p["phase"]: p for p in report["phases"]}
    return report


def compare(a, protocol, n, tmp):
    """pilotd and the floor, same clients, same bytes."""
    pods = -(-a.proxies // a.services)
    config, record = os.path.join(tmp, "config"), os.path.join(tmp, "record")
    generate(a, config, a.services, pods)
    common = (a.services, pods, a.proxies, protocol, a.settle)
    with start_pilotd(a, config, tmp) as s:
        print(f"\npilotd: ready after {s.start['ready_s']:.2f} s and {s.start['cpu_ms']:.0f} ms of processor, "
              f"RSS {s.start['VmRSS'] / 1024:.0f} MB", flush=True)
        pilotd = load(a, s, os.path.join(tmp, "pilotd.json"), *common,
                      ["--dir", config, "--record", record, "--rounds", str(a.rounds), "--label", "pilotd"])
        pilotd["start"] = s.start
    floor = None
    if not a.no_floor:
        with start_floor(a, record, tmp) as s:
            floor = load(a, s, os.path.join(tmp, "floor.json"), *common,
                         ["--floor", "--rounds", str(a.rounds), "--phases", "storm,endpoint,virtualservice,idle",
                          "--label", "floor"])
    return {"protocol": protocol, "repeat": n, "pilotd": pilotd, "floor": floor}


def scale(a, services, tmp):
    """pilotd alone with few proxies: what depends on the number of services."""
    config = os.path.join(tmp, "config")
    generate(a, config, services, 1)
    with start_pilotd(a, config, tmp) as s:
        report = load(a, s, os.path.join(tmp, "scale.json"), services, 1, a.scale_proxies, "delta",
                      a.scale_settle,
                      ["--dir", config, "--rounds", str(a.scale_rounds), "--phases", "storm,endpoint,nobody",
                       "--label", f"pilotd with {services} services"])
        report["start"] = s.start
    return report


def middle(values):
    return statistics.median(values)


def figures(result):
    """[(figure, pilotd's, floor's or None, ratio or figure to judge, goal, met)]"""
    rows = []
    for protocol in dict.fromkeys(r["protocol"] for r in result["compare"]):
        runs = [r for r in result["compare"] if r["protocol"] == protocol]

        def both(phase, key, scale=1.0):
            p = middle([r["pilotd"]["phases"][phase][key] for r in runs]) / scale
            f = [r["floor"]["phases"][phase][key] for r in runs if r["floor"]]
            return p, middle(f) / scale if f else None

        def row(name, phase, key, unit, goal=None, difference=False, scale=1.0):
            if any(phase not in r["pilotd"]["phases"] for r in runs):
                return
            p, f = both(phase, key, scale)
            judged = None if not f else p - f if difference else p / f
            text = "" if judged is None else f"{judged:+.1f} {unit}" if difference else f"{judged:.2f}x"
            limit = "" if goal is None else f"<= {goal:g} {unit}" if difference else f"<= {goal:g}x"
            rows.append((f"{protocol}: {name}", f"{p:.1f} {unit}", "" if f is None else f"{f:.1f} {unit}", text, limit,
                         None if goal is None or judged is None else judged <= goal))

        row("storm, server CPU", "storm", "server_cpu_ms", "ms", GOALS["storm"])
        row("storm, last proxy complete", "storm", "last_ms", "ms")
        row("storm, bytes", "storm", "bytes", "MB", scale=1e6)
        row("memory after the storm", "storm", "rss_kb", "MB", GOALS["memory_mb"], True, 1024)
        row("memory, peak of the storm", "storm", "peak_kb", "MB", GOALS["memory_mb"], True, 1024)
        row("endpoint change, first proxy", "endpoint", "first_ms", "ms")
        row("endpoint change, last proxy", "endpoint", "last_ms", "ms", GOALS["endpoint"])
        row("endpoint change, server CPU", "endpoint", "server_cpu_ms", "ms")
        row("VirtualService change, last proxy", "virtualservice", "last_ms", "ms")
        row("VirtualService change, server CPU", "virtualservice", "server_cpu_ms", "ms")
        for phase, name in (("nobody", "change that affects nobody"), ("idle", "idle")):
            got = [r["pilotd"]["phases"].get(phase) for r in runs]
            if all(got):
                most = max(g["bytes"] for g in got)
                rows.append((f"{protocol}: {name}, bytes", f"{most:.0f}", "", "", "0", most == 0))
                cpu = middle([g["server_cpu_ms"] for g in got])
                rows.append((f"{protocol}: {name}, server CPU", f"{cpu:.1f} ms", "", "", "", None))
        got = [r["pilotd"]["phases"].get("reconnect") for r in runs]
        if protocol != "sotw" and all(got):
            most = max(g["resources"] for g in got)
            rows.append((f"{protocol}: reconnect, resources sent", f"{most:.0f}", "", "", "0", most == 0))
            cpu = middle([g["server_cpu_ms"] for g in got])
            rows.append((f"{protocol}: reconnect, server CPU", f"{cpu:.1f} ms", "", "", "", None))
    return rows + scale_figures(result["scale"])


def scale_figures(runs):
    rows = []
    if not runs:
        return rows
    first, last = runs[0], runs[-1]
    costs = [r["phases"]["endpoint"]["server_cpu_median_ms"] for r in runs]
    rss = [r["phases"]["storm"]["rss_kb"] for r in runs]
    names = " / ".join(str(r["services"]) for r in runs)
    flat = max(costs) / costs[0] if costs[0] else 0
    rows.append((f"endpoint change at {names} services, server CPU", " / ".join(f"{c:.2f}" for c in costs) + " ms", "",
                 f"{flat:.2f}x", f"<= {GOALS['flat']:g}x", flat <= GOALS["flat"]))
    rows.append((f"memory at {names} services", " / ".join(f"{m / 1024:.1f}" for m in rss) + " MB", "", "", "", None))
    if len(runs) > 1:
        slope = (rss[-1] - rss[0]) / (last["services"] - first["services"])
        rows.append(("memory for each service", f"{slope:.2f} KB", "", "", f"<= {GOALS['kb_per_service']:g} KB",
                     slope <= GOALS["kb_per_service"]))
    rows.append((f"start at {names} services, ready after", " / ".join(f"{r['start']['ready_s']:.2f}" for r in runs) + " s",
                 "", "", "", None))
    return rows


def print_figures(rows):
    head = ("figure", "pilotd", "floor", "ratio", "goal", "")
    table = [head] + [(*r[:5], {None: "", True: "met", False: "MISSED"}[r[5]]) for r in rows]
    widths = [max(len(r[i]) for r in table) for i in range(6)]
    print()
    for r in table:
        print("  ".join(c.ljust(w) if i in (0, 5) else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip())


def machine():
    cpu = next((x.split(":", 1)[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name")), "?")
    memory = int(open("/proc/meminfo").readline().split()[1]) // 1024
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_mb": memory, "kernel": os.uname().release,
            "load_average_before": os.getloadavg()[0]}


def arguments():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--bin", default=os.path.join(root, "build", "release", "bin"), help="where the programs are")
    ap.add_argument("--server", help="command of the server (BIN/pilotd discovery)")
    ap.add_argument("--services", type=int, default=1000)
    ap.add_argument("--proxies", type=int, default=1000)
    ap.add_argument("--protocols", default="delta,sotw", help="of delta, sotw, mixed")
    ap.add_argument("--rounds", type=int, default=10, help="changes of each kind in a run")
    ap.add_argument("--repeat", type=int, default=1, help="runs of pilotd and floor in turn; figures are medians")
    ap.add_argument("--threads", type=int, default=1, help="threads of the clients")
    ap.add_argument("--floor-threads", type=int, default=2)
    ap.add_argument("--no-floor", action="store_true")
    ap.add_argument("--scale", default="1000,3000,10000", help="numbers of services for the scaling runs; empty = none")
    ap.add_argument("--scale-proxies", type=int, default=10)
    ap.add_argument("--scale-rounds", type=int, default=40)
    ap.add_argument("--settle", type=int, default=10000, help="ms after the storm, before memory is read")
    ap.add_argument("--scale-settle", type=int, default=25000,
                    help="the same in scaling runs: until what the storm left behind has gone back to the system")
    ap.add_argument("--idle", type=int, default=5000, help="ms of the phase idle")
    ap.add_argument("--timeout", type=int, default=120, help="seconds for each phase")
    ap.add_argument("--out", help="write JSON of everything here")
    ap.add_argument("--strict", action="store_true", help="fail if a goal is missed")
    a = ap.parse_args()
    a.server = a.server or os.path.join(a.bin, "pilotd") + " discovery"
    return a


def main():
    a = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result = {"machine": machine(), "services": a.services, "proxies": a.proxies, "compare": [], "scale": []}
    tmp = tempfile.mkdtemp(prefix="pilotd-bench-")
    try:
        for n in range(a.repeat):
            for protocol in a.protocols.split(","):
                result["compare"].append(compare(a, protocol, n, tmp))
        for services in (int(x) for x in a.scale.split(",") if x):
            result["scale"].append(scale(a, services, tmp))
    except (Failed, subprocess.SubprocessError, OSError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    rows = figures(result)
    m = result["machine"]
    print(f"\n{a.services} services, {a.proxies} proxies; {m['cores']} cores of {m['cpu']}, {m['memory_mb']} MB, "
          f"Linux {m['kernel']}, load average before {m['load_average_before']:.2f}")
    print_figures(rows)
    result["figures"] = [dict(zip(("figure", "pilotd", "floor", "ratio", "goal", "met"), r)) for r in rows]
    if a.out:
        with open(a.out, "w") as f:
            json.dump(result, f, indent=1)
    runs = [x for r in result["compare"] for x in (r["pilotd"], r["floor"]) if x] + result["scale"]
    problems = [p for r in runs for p in r["problems"]]
    for p in problems:
        print(f"problem: {p}")
    missed = any(r[5] is False for r in rows)
    return 1 if problems else 2 if missed and a.strict else 0


if __name__ == "__main__":
    sys.exit(main())
