"""Restarts: of Envoy, and of pilotd while traffic flows."""
import signal, time, unittest

import mesh as m
from case import PROTOCOL, MeshCase, Traffic

KINDS = ("cds", "eds", "lds", "rds")


def sent(pilotd):
    """Responses sent, by type."""
    got = pilotd.metrics("pilot_xds_pushes")
    return {k: got.get(f'type="{k}"', 0) for k in KINDS}


class Lifecycle(MeshCase):
    def changes(self):
        """What Envoy counts when its configuration really changes."""
        e = self.mesh.envoy
        return {n: e.stat(n) for n in ("cluster_manager.cluster_added", "cluster_manager.cluster_modified",
                                       "cluster_manager.cluster_removed", "listener_manager.listener_added",
                                       "listener_manager.listener_modified", "listener_manager.listener_removed")}

    def restart_pilotd(self, how, while_down=lambda: None):
        self.mesh.pilotd.stop(how)
        while_down()
        self.mesh.start_pilotd()
        m.eventually(lambda: self.mesh.pilotd.client("gateway.bookshop"), why="the gateway connecting again")

    def quiet(self, what, seconds=1.0):
        """what() after nothing more happened for a while."""
        state, since = what(), time.monotonic()
        while time.monotonic() < since + seconds:
            time.sleep(0.05)
            if what() != state:
                state, since = what(), time.monotonic()
        return state

    def test_envoy_restarts(self):
        self.mesh.envoy.stop()
        m.eventually(lambda: not self.mesh.pilotd.client("gateway.bookshop"), why="pilotd forgetting the old one")
        self.mesh.envoy = self.mesh.start_envoy(PROTOCOL, name="envoy-again")
        self.mesh.wait_synced()
        self.mesh.wait_answers()
        self.assertEqual(self.front.get("/reviews", {"x-reader": "tester"}).backend, "reviews-v2")
        self.assertEqual(self.mesh.pilotd.get("/debug/connections")["totalClients"], 1)

    def test_envoy_is_killed(self):
        self.mesh.envoy.stop(signal.SIGKILL)
        m.eventually(lambda: not self.mesh.pilotd.client("gateway.bookshop"), why="pilotd forgetting the old one")
        self.mesh.envoy = self.mesh.start_envoy(PROTOCOL, name="envoy-after-kill")
        self.mesh.wait_synced()
        self.mesh.wait_answers()

    def test_pilotd_restarts(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(how=how.name), Traffic(self.mesh.front()) as t:
                before = self.quiet(self.changes)
                t.wait_more(50)
                self.restart_pilotd(how, lambda: t.wait_more(100))
                t.wait_more(100)
                self.quiet(lambda: sent(self.mesh.pilotd))
                if PROTOCOL == "delta":
                    self.assertEqual(sent(self.mesh.pilotd), dict.fromkeys(KINDS, 0),
                                     "nothing for a client that has it all")
                    self.assertEqual(sum(self.mesh.pilotd.metrics("pilotd_xds_sent_bytes_total").values()), 0)
                else:
                    self.mesh.wait_synced()
                self.assertEqual(self.changes(), before, "versions are the same in every process")
            self.assertEqual(set(t.answers) - {"reviews-v1", "reviews-v2"}, set(), "every request was answered")

    def test_what_changed_meanwhile_is_followed(self):
        self.restart_pilotd(signal.SIGTERM, lambda: m.set_weights(self.mesh, 0, 100))
        m.eventually(lambda: m.shares(self.front, "/reviews", 30) == {"reviews-v2": 30}, why="the new weights")
        if PROTOCOL == "delta":
            self.assertEqual({k: n for k, n in sent(self.mesh.pilotd).items() if n}, {"rds": 1}, "only what changed")
        m.set_weights(self.mesh, 100, 0)
        m.eventually(lambda: m.shares(self.front, "/reviews", 30) == {"reviews-v1": 30}, why="later changes too")

    def test_service_removed_meanwhile(self):
        extra = self.mesh.read("shop.yaml").replace("shop", "annexe").replace("127.0.1.1\n", "127.0.1.31\n")
        cluster = f"outbound|{self.mesh.backend_port}||annexe.bookshop.svc.cluster.local"

        def has():
            return bool(self.mesh.envoy.stats(rf"^cluster\.{cluster.split('|')[0]}.*annexe.*membership_total$"))
        self.mesh.write("annexe.yaml", extra)
        m.eventually(has, why="the cluster of the new service")
        self.restart_pilotd(signal.SIGTERM, lambda: self.mesh.remove("annexe.yaml"))
        m.eventually(lambda: not has(), why="the cluster going away")

    def test_envoy_before_pilotd(self):
        """An Envoy that starts while nobody answers gets its configuration later."""
        self.mesh.envoy.stop()
        self.mesh.pilotd.stop()
        self.mesh.envoy = m.Envoy(self.mesh, PROTOCOL, m.GATEWAY, "envoy-early")
        self.mesh.children.append(self.mesh.envoy)
        m.eventually(lambda: m.fetch(self.mesh.envoy.admin, "/stats"), why="Envoy's admin page")
        self.mesh.start_pilotd()
        self.mesh.envoy.wait_ready()
        self.mesh.wait_synced()
        self.mesh.wait_answers()


if __name__ == "__main__":
    unittest.main(verbosity=2)
