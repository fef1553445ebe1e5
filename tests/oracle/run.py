"""Compares pilotd with the recordings of istiod in PD_SHARED/oracle. See run.sh."""
import argparse, json, os, shutil, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
FLOOR = os.path.join(HERE, "floor.json")
EQUAL = os.path.join(HERE, "scenarios.txt")

RETRIES_MAX = 3  # scenarios; if more fail it is no accident


def complaint(log):
    """The end of a server's log if it tells of a bug (an assertion, a sanitizer's report); else None."""
    if not os.path.exists(log):
        return None
    with open(log, errors="replace") as f:
        text = f.read()
    return text[-3000:] if any(sign in text for sign in ("Sanitizer", "runtime error:", "assert")) else None


class Run:
    """One recording of scenarios with pilotd."""

    def __init__(self, a):
        self.tools, self.oracle = os.path.join(a.shared, "tools"), os.path.join(a.shared, "oracle")
        self.pilotd, self.descriptors = os.path.join(a.build, "bin", "pilotd"), os.path.join(a.build, "pilotd.desc")
        self.jobs, self.timeout = a.jobs, a.timeout

    def record(self, scenarios, out, source=None):
        """Into out/SCENARIO/NODE.json. Returns what could not be recorded, one line each."""
        begin = time.monotonic()
        failed = self.record_once(scenarios, out, source or self.oracle)
        # Ports are chosen free, but others may take them before the server does: what failed has a second chance.
        again = [s for s in scenarios if any(line.startswith(s + ":") for line in failed)]
        if again and len(again) <= RETRIES_MAX:
            for line in failed:
                print(f"once more: {line}")
            bugs = self.complaints(again, out)
            failed = bugs + self.record_once(again, out, source or self.oracle)
        print(f"{len(scenarios)} scenarios recorded in {time.monotonic() - begin:.0f} s")
        return failed + self.complaints(scenarios, out)

    @staticmethod
    def complaints(scenarios, out):
        """Where the server found a bug of its own; maybe after the last answer."""
        found = []
        for s in scenarios:
            said = complaint(os.path.join(out, s, "server.log"))
            if said:
                found.append(f"{s}: pilotd complained about itself:\n{said}")
        return found

    def record_once(self, scenarios, out, source):
        # oracle_run.py takes one after another: each of our jobs gets a folder with its share of them.
        running = []
        with tempfile.TemporaryDirectory() as tmp:
            for j in range(self.jobs):
                share = os.path.join(tmp, str(j))
                os.mkdir(share)
                for s in scenarios[j::self.jobs]:
                    os.symlink(os.path.abspath(os.path.join(source, s)), os.path.join(share, s))
                args = [sys.executable, os.path.join(self.tools, "oracle_run.py"), "--server", f"{self.pilotd} discovery",
                        "--scenarios", share, "--out", out, "--descriptors", self.descriptors,
                        "--timeout", str(self.timeout)]
                running.append(subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            failed = []
            for p in running:
                out_text, err_text = p.communicate()
                failed += out_text.splitlines()  # one line for each failure; the rest is grpc talking
                if p.returncode and not out_text:
                    failed.append(f"oracle_run.py ended with {p.returncode}: {err_text}")
        return failed

    def compare(self, out, *options):
        """The result of xds_compare.py as JSON."""
        got = subprocess.run([sys.executable, os.path.join(self.tools, "xds_compare.py"), "--scenarios", self.oracle, out,
                              "--json", *options], capture_output=True, text=True)
        if got.returncode not in (0, 1):
            raise SystemExit(f"xds_compare.py: {got.stderr}")
        return json.loads(got.stdout)

    def differences(self, scenario, out):
        got = subprocess.run([sys.executable, os.path.join(self.tools, "xds_compare.py"), "--scenarios", self.oracle, out,
                              "--only", scenario, "--verbose"], capture_output=True, text=True)
        return got.stdout

    def all(self):
        return sorted(s for s in os.listdir(self.oracle) if os.path.exists(os.path.join(self.oracle, s, "nodes.json")))


def counts(result):
    """{scenario: {"expected", "equal", "extra"}} of a comparison."""
    return {s: {c: r["total"][c] for c in ("expected", "equal", "extra")} for s, r in result["scenarios"].items()}


def must_be_equal(run, a, out):
    """The scenarios of scenarios.txt (or the given ones), exactly."""
    with open(EQUAL) as f:
        scenarios = a.scenario or [line.strip() for line in f if line.strip() and not line.startswith("#")]
    for line in run.record(scenarios, out):
        print(line)
        a.failed = True
    got = counts(run.compare(out))
    for s in scenarios:
        c = got.get(s, {"expected": 1, "equal": 0, "extra": 0})
        good = c["equal"] == c["expected"] and not c["extra"]
        print(f"{'equal ' if good else 'DIFFERS'} {s}: {c['equal']} of {c['expected']} resources, {c['extra']} extra")
        if not good:
            print(run.differences(s, out))
            a.failed = True


def read_floor():
    with open(FLOOR) as f:
        return json.load(f)


def write_floor(floor):
    with open(FLOOR, "w") as f:
        f.write("{\n" + ",\n".join(f"{json.dumps(s)}: {json.dumps(c)}" for s, c in sorted(floor.items())) + "\n}\n")


def score(run, a, out):
    """All scenarios: none may be worse than floor.json says."""
    scenarios = a.scenario or run.all()
    for line in run.record(scenarios, out):
        print(line)
        a.failed = True
    got, floor = {s: c for s, c in counts(run.compare(out)).items() if s in scenarios}, read_floor()
    better, none = [], {"equal": 0, "extra": 1 << 30}
    for s, c in sorted(got.items()):
        f = floor.get(s, none)
        if c["equal"] < f["equal"] or c["extra"] > f["extra"]:
            print(f"WORSE {s}: {c['equal']} of {c['expected']} equal and {c['extra']} extra; {f['equal']} and {f['extra']} before")
            print("\n".join(run.differences(s, out).splitlines()[:200]))
            a.failed = True
        elif c["equal"] > f["equal"] or c["extra"] < f["extra"]:
            better.append(s)
    if a.verbose:
        for s, c in sorted(got.items()):
            print(f"{c['equal']:5} of {c['expected']:5}  {c['extra']:4} extra  {s}")
    total = {c: sum(g[c] for g in got.values()) for c in ("expected", "equal", "extra")}
    whole = sum(c["equal"] == c["expected"] and not c["extra"] for c in got.values())
    print(f"score {total['equal'] / (total['expected'] + total['extra']):.4f}: {total['equal']} of {total['expected']} resources"
          f" equal, {total['extra']} extra; {whole} of {len(got)} scenarios equal in all")
    if a.update:
        for s in better:
            floor[s] = {"equal": got[s]["equal"], "expected": got[s]["expected"], "extra": got[s]["extra"]}
        write_floor({s: c for s, c in floor.items() if s in run.all()})
        print(f"floor raised for {len(better)} scenarios")
    elif better:
        print(f"better than floor.json in {len(better)} scenarios; to keep that: tests/oracle/run.sh score --update")


def main():
    ap = argparse.ArgumentParser(prog="tests/oracle/run.sh")
    ap.add_argument("mode", choices=("equal", "score"))
    ap.add_argument("scenario", nargs="*")
    ap.add_argument("--update", action="store_true", help="score: raise the floor")
    ap.add_argument("--verbose", action="store_true", help="score: each scenario")
    ap.add_argument("--out", help="folder for the recordings; default: a temporary one")
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("--timeout", type=float, default=1.5, help="seconds to wait for a resource that is asked for")
    ap.add_argument("--shared", required=True, help=argparse.SUPPRESS)
    ap.add_argument("--build", required=True, help=argparse.SUPPRESS)
    a = ap.parse_args()
    a.failed = False
    out = a.out or tempfile.mkdtemp(prefix="oracle-")
    os.makedirs(out, exist_ok=True)
    try:
        {"equal": must_be_equal, "score": score}[a.mode](Run(a), a, out)
    finally:
        if not a.out:
            shutil.rmtree(out, ignore_errors=True)
    sys.exit(1 if a.failed else 0)


if __name__ == "__main__":
    main()
