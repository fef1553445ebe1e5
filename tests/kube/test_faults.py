"""Whatever happens between pilotd and the API server, pilotd comes to the state that a fresh one has, and says nothing twice."""
import os, time, unittest

import mesh as m
import world as w
from case import Traffic

SECONDS = float(os.environ.get("KUBE_FAULT_SECONDS", 20))  # of the long test
SETTLE = 60  # seconds until the state must be that of a fresh pilotd: back-off included
EVERYTHING = "configmaps|services|endpointslices|pods|namespaces|nodes|secrets|istio.io"


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(w.World())
        cls.world.start()

    def setUp(self):
        self.addCleanup(self.world.proxy.clear)

    def pushes(self):
        return self.world.pilotd.metrics("pilot_xds_pushes")

    def check(self, why=""):
        """pilotd's state becomes that of one that has seen no faults; then it still follows changes."""
        fresh = self.world.fresh_pilotd()
        try:
            expected = w.versions(fresh)
            self.assertGreater(len(expected["CDS"]), 3)
            begin = time.monotonic()
            last = ""

            def same():
                nonlocal last
                last = w.difference(w.versions(self.world.pilotd), expected)
                return not last
            try:
                m.eventually(same, SETTLE)
            except m.Failed:
                self.fail(f"{why}: not the state of a fresh pilotd: {last}\n{self.world.pilotd.tail()}")
            return time.monotonic() - begin
        finally:
            fresh.stop()

    def follows(self):
        for i in (1, 0):
            self.world.put(w.slices("shop", [(self.world.address, self.world.backend_ports[i])]))
            self.world.wait_backend("ab"[i], seconds=SETTLE)

    def under_changes(self, seconds, seed, until=None, why=""):
        """Changes for so long, and until something holds: pilotd may be waiting after an earlier fault."""
        with w.Churn(self.world.cluster, seed) as churn:
            time.sleep(seconds)
            if until:
                m.eventually(until, SETTLE, why=why)
        self.assertGreater(churn.changes, 2 * seconds)
        return churn

    # ---- the API server ----

    def test_apiserver_killed_and_started_again(self):
        world = self.world
        self.check()
        before = self.pushes()
        with Traffic(world.client(), "/") as traffic:
            world.cluster.kill("apiserver")
            traffic.wait_more(100)
            time.sleep(2)
            world.cluster.restart()
            traffic.wait_more(100)
            m.eventually(lambda: world.proxy.counts()["open_watches"] > 5, SETTLE, why="watches that are back")
            time.sleep(2)
            self.assertEqual(self.pushes(), before, "nothing has changed, so nothing is sent")
        self.assertEqual(set(traffic.answers), {"a"})
        self.follows()
        self.check("after the restart")

    def test_compacted_while_away(self):
        """What was deleted while pilotd could not watch is seen as deleted, though no event will ever tell (410)."""
        world = self.world
        self.under_changes(2, seed=1)
        world.put(w.service_entry("doomed", "10.78.0.1"), w.service_entry("altered", "10.78.0.1"))
        self.check()
        world.proxy.fault("refuse", path="watch=|/serviceentries")
        world.proxy.cut()
        world.drop("ServiceEntry", "doomed")
        world.put(w.service_entry("altered", "10.78.0.2"))
        self.under_changes(3, seed=2)
        world.cluster.kill("apiserver")
        world.cluster.compact()
        world.cluster.restart()
        world.proxy.clear()
        took = self.check("after the compaction")
        print(f"  equal {took:.1f} s after a compaction", flush=True)
        self.assertNotIn("doomed.example", str(w.versions(world.pilotd)))
        self.follows()

    # ---- the way to it ----

    def test_watches_cut_every_second(self):
        self.world.proxy.fault("cut", ms=1000, path="watch=")
        churn = self.under_changes(SECONDS, seed=3)
        cuts = self.world.proxy.struck("cut")
        self.assertGreater(cuts, 2 * SECONDS)
        print(f"  {churn.changes} changes, {cuts} cuts", flush=True)
        self.world.proxy.clear()
        self.check("after the cuts")
        self.follows()

    def test_connection_cut_every_two_seconds(self):
        self.world.proxy.fault("cut", ms=2000, path="watch=.*|serviceentries", how="connection")
        self.under_changes(8, seed=4)
        self.world.proxy.clear()
        self.check("after the lost connections")

    def one_after_the_other(self, faults, seed, **common):
        """Each for three seconds and more, under changes. (test_follow.py has them one by one.)"""
        for i, (kind, parameters) in enumerate(faults):
            before = self.world.proxy.struck(kind)
            self.world.proxy.fault(kind, **{**common, **parameters})
            self.world.proxy.fault("expire", path="watch=", limit=12)
            self.world.proxy.cut("watch=")
            self.under_changes(3, seed + i, lambda: self.world.proxy.struck(kind) > before, f"{kind} {parameters} striking")
            self.world.proxy.clear()
        took = self.check()
        print(f"  equal {took:.1f} s after {len(faults)} sorts of faults", flush=True)
        self.follows()

    def test_odd_watches(self):
        self.one_after_the_other([
            ("cut", {"after": 700}), ("cut", {"after": 700, "how": "end"}), ("garbage", {"after": 1}),
            ("length", {"after": 1}), ("duplicate", {}), ("reorder", {}), ("slow", {"ms": 150})], 10, path="watch=")

    def test_odd_answers(self):
        """Of lists and new watches, while all of them have to be made anew."""
        self.one_after_the_other([
            ("status", {"code": 429, "retry_after": 1}), ("status", {"code": 503}), ("status", {"code": 401}),
            ("delay", {"ms": 400}), ("refuse", {}), ("cut", {"after": 150})], 30, path=EVERYTHING, limit=20)


if __name__ == "__main__":
    unittest.main()
