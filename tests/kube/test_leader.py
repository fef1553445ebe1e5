"""Leader election (k8s/leader.h) on a real API server: never two leaders, and soon another one."""
import os, signal, tempfile, time, unittest

import cluster as c
import mesh as m

LEASE, RETRY = 3.0, 0.6  # seconds, as kube-candidate has them (retries come up to a fifth later)
SLACK = 2                # of a busy machine


class Candidate(m.Child):
    """bin/kube-candidate; each behind a fault proxy of its own."""

    def __init__(self, test, name, kind, lock):
        place = os.path.join(test.folder, f"{lock}-{name}")
        os.mkdir(place)
        self.proxy = c.FaultProxy(test.cluster, place)
        test.addCleanup(self.proxy.stop)
        config = test.cluster.write_kubeconfig(os.path.join(place, "kubeconfig"), token=test.api.token, server=self.proxy.address)
        super().__init__("kube-candidate", ["kube-candidate", config, name, kind, lock], os.path.join(place, "candidate.log"))
        self.identity = name
        test.addCleanup(self.stop)

    def led(self):
        """When it led: seconds of the monotonic clock, ten milliseconds apart."""
        with open(self.log) as f:
            return [int(line) / 1000 for line in f.read().split("\n") if line.isdigit()]

    def leads(self):
        led = self.led()
        return self.alive() and led and led[-1] > time.monotonic() - 0.3


class Leader(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(c.Cluster())
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(dir=os.environ.get("PD_TMP")))
        cls.api = cls.cluster.api()

    def both(self, kind):
        """(the leader, the other one) of two new candidates for a lock of this kind."""
        lock = self.id().rpartition(".")[2].replace("_", "-") + "-" + kind
        two = [Candidate(self, name, kind, lock) for name in ("a", "b")]
        m.eventually(lambda: any(x.leads() for x in two), why="a leader")
        two.sort(key=lambda x: not x.leads())
        return two

    def kinds(self):
        for kind in ("lease", "configmap"):
            with self.subTest(kind):
                yield kind

    def takes_over(self, other, begin, within):
        m.eventually(other.leads, within + SLACK + 10, why=f"{other.identity} leading")
        took = other.led()[0] - begin
        self.assertLess(took, within + SLACK)
        return took

    def apart(self, one, two):
        """No moment had two leaders."""
        a, b = one.led(), two.led()
        self.assertTrue(a and b)
        merged = sorted([(t, 0) for t in a] + [(t, 1) for t in b])
        changes = sum(x[1] != y[1] for x, y in zip(merged, merged[1:]))
        self.assertEqual(changes, 1, "leadership went over once")

    def test_killed(self):
        for kind in self.kinds():
            leader, other = self.both(kind)
            time.sleep(LEASE + 1)  # it is renewed
            self.assertTrue(leader.leads())
            self.assertEqual(other.led(), [])
            begin = time.monotonic()
            leader.stop(signal.SIGKILL)
            took = self.takes_over(other, begin, LEASE + RETRY)
            print(f"  {kind}: another leader {took:.1f} s after SIGKILL", flush=True)
            self.apart(leader, other)

    def test_released(self):
        for kind in self.kinds():
            leader, other = self.both(kind)
            begin = time.monotonic()
            self.assertEqual(leader.stop(), 0)
            took = self.takes_over(other, begin, RETRY)
            print(f"  {kind}: another leader {took:.1f} s after the end of the first", flush=True)
            self.apart(leader, other)

    def test_stopped_for_longer_than_its_lease(self):
        leader, other = self.both("lease")
        leader.proc.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        self.takes_over(other, begin, LEASE + RETRY)
        leader.proc.send_signal(signal.SIGCONT)
        time.sleep(2)
        self.assertFalse(leader.leads())
        self.assertTrue(other.leads())
        self.apart(leader, other)

    def test_cut_off_from_the_api_server(self):
        leader, other = self.both("lease")
        leader.proxy.fault("refuse")
        begin = time.monotonic()
        leader.proxy.cut()
        self.takes_over(other, begin, LEASE + RETRY)
        self.assertFalse(leader.leads())
        self.assertLess(leader.led()[-1], begin + LEASE)
        leader.proxy.clear()
        time.sleep(2)
        self.apart(leader, other)


if __name__ == "__main__":
    unittest.main()
