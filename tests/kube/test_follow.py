"""The client and the reflectors of k8s/ against a real API server that is made to misbehave: what they know ends up equal."""
import json, os, subprocess, tempfile, time, unittest

import cluster as c
import mesh as m
import world as w

RESOURCES = ("/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices", "/apis/networking.istio.io/v1/virtualservices",
             "/apis/networking.istio.io/v1/destinationrules", "/apis/networking.istio.io/v1/serviceentries")
SETTLE = 60  # seconds until what is known must be what is there: the longest back-off included


class Follower:
    """bin/kube-follow behind the fault proxy."""

    def __init__(self, kubeconfig, log):
        self.log = log
        with open(log, "w") as f:
            self.proc = subprocess.Popen(["kube-follow", kubeconfig, *RESOURCES], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=f, text=True, bufsize=1)

    def ask(self, command):
        self.proc.stdin.write(command + "\n")
        lines = []
        while (line := self.proc.stdout.readline().rstrip("\n")) != ".":
            if self.proc.poll() is not None:
                with open(self.log, errors="replace") as f:
                    raise RuntimeError(f"kube-follow ended with {self.proc.returncode}: {f.read()[-3000:]}")
            lines.append(line)
        return lines

    def state(self):
        """{"services default/a": version}"""
        return dict(line.rsplit(" ", 1) for line in self.ask("state"))

    def stats(self):
        return {line.partition(" ")[0]: json.loads(line.partition(" ")[2]) for line in self.ask("stats")}

    def stop(self):
        """Ends it; fails if it has found a bug of its own or its code's."""
        self.proc.stdin.close()
        self.proc.stdout.close()
        if self.proc.wait(20):
            with open(self.log, errors="replace") as f:
                raise RuntimeError(f"kube-follow ended with {self.proc.returncode}: {f.read()[-6000:]}")


class Follow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(c.Cluster())
        cls.cluster.install_crds()
        cls.api = cls.cluster.api()
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(dir=os.environ.get("PD_TMP")))
        cls.proxy = c.FaultProxy(cls.cluster, cls.folder)
        cls.addClassCleanup(cls.proxy.stop)
        cls.kubeconfig = cls.cluster.write_kubeconfig(os.path.join(cls.folder, "kubeconfig"), server=cls.proxy.address,
                                                      token=cls.api.token)

    def setUp(self):
        self.addCleanup(self.proxy.clear)
        self.connections = self.proxy.counts()["connections"]
        self.follower = Follower(self.kubeconfig, os.path.join(self.folder, self.id() + ".log"))
        self.addCleanup(self.follower.stop)
        self.check()

    def there(self):
        return {f"{path.rpartition('/')[2]} {o['metadata']['namespace']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"]
                for path in RESOURCES for o in self.api.items(path)}

    def check(self, seconds=SETTLE):
        """What is known becomes what is there. Returns the seconds that took."""
        expected, begin = self.there(), time.monotonic()

        def same():
            got = self.follower.state()
            if got != expected:
                raise m.Failed(str(sorted(set(got.items()) ^ set(expected.items()))[:6]) + f" {self.follower.stats()}")
            return True
        m.eventually(same, seconds, why="what is known becoming what is there")
        return time.monotonic() - begin

    def churn(self, seconds, seed, pause=0.01):
        with w.Churn(self.cluster, seed, pause) as churn:
            time.sleep(seconds)
        self.assertGreater(churn.changes, 2 * seconds)

    def strikes(self, name, kind, seed, seconds=3, expire=False, limit=0, path="watch=", **parameters):
        """Under a fault and changes. It must strike; when it is over, what is known is right."""
        with self.subTest(name):
            before = self.proxy.struck(kind)
            self.proxy.fault(kind, path=path, limit=limit, **parameters)
            if expire:
                self.proxy.fault("expire", path="watch=", limit=10)
            self.proxy.cut()
            self.churn(seconds, seed)
            m.eventually(lambda: self.proxy.struck(kind) > before, SETTLE, why=f"{name} striking")
            struck = self.proxy.struck(kind) - before
            self.proxy.clear()
            print(f"  {name}: struck {struck} times; right {self.check():.1f} s later", flush=True)

    def test_no_faults(self):
        self.churn(3, 1)
        self.assertLess(self.check(), 2)
        for resource, s in self.follower.stats().items():
            self.assertEqual((s["synced"], s["lists"], s["failures"], s["broken"], s["expired"]), (1, 1, 0, 0, 0), resource)
        self.assertEqual(self.proxy.counts()["connections"] - self.connections, 1)

    def test_watches(self):
        self.strikes("cut every second", "cut", 2, seconds=8, ms=1000)
        self.strikes("connection cut every second", "cut", 3, ms=1000, how="connection")
        self.strikes("an object cut in the middle", "cut", 4, after=700)
        self.strikes("an orderly end in the middle of an object", "cut", 5, after=700, how="end")
        self.strikes("garbage", "garbage", 6, after=1)
        self.strikes("an endless frame", "length", 7, after=1)
        self.strikes("duplicates", "duplicate", 8)
        self.strikes("bookmarks before their events", "reorder", 9)
        self.strikes("expired", "expire", 10, after=2)
        self.strikes("slow", "slow", 11, ms=100)
        for resource, s in self.follower.stats().items():
            self.assertEqual(s["skipped"], 0, resource)

    def test_answers(self):
        self.strikes("429 with Retry-After", "status", 20, expire=True, limit=20, path="", code=429, retry_after=1)
        self.strikes("503", "status", 21, expire=True, limit=20, path="", code=503)
        self.strikes("410", "status", 22, expire=True, limit=20, path="", code=410)
        self.strikes("late", "delay", 23, expire=True, path="", ms=300)
        self.strikes("refused", "refuse", 24, expire=True, limit=20, path="")
        self.strikes("lists cut in the middle", "cut", 25, expire=True, limit=20, path="", after=150)

    def test_compaction(self):
        self.churn(1, 30)
        self.api.apply(w.path_of("ServiceEntry"), w.service_entry("doomed", "10.0.0.1"))
        self.check()
        self.proxy.fault("refuse")
        self.proxy.cut()
        self.api.delete(w.path_of("ServiceEntry", name="doomed"))
        self.churn(1, 31)
        self.cluster.kill("apiserver")
        self.cluster.compact()
        self.cluster.restart()
        self.proxy.clear()
        self.check()
        self.assertNotIn("serviceentries default/doomed", self.follower.state())
        self.assertGreater(sum(s["expired"] for s in self.follower.stats().values()), 0)


if __name__ == "__main__":
    unittest.main()
