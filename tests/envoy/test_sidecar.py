"""Stock Envoys as sidecars: with listeners of their own (interception NONE), so that requests reach them without iptables,
and as they are behind iptables (REDIRECT)."""
import unittest

import mesh as m
from case import PROTOCOL, MeshCase

SHOP = {"type": "sidecar", "name": "shop-v1", "namespace": "bookshop", "ip": "127.0.1.1", "labels": "app=shop,version=v1",
        "account": "shop"}
RULES = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews-in-the-mesh, namespace: bookshop}
spec:
  hosts: ["reviews"]
  http:
  - match:
    - headers:
        x-reader: {exact: tester}
    route:
    - destination: {host: reviews, subset: v2}
  - route:
    - destination: {host: reviews, subset: v1}
"""


class Sidecar(MeshCase):
    @classmethod
    def setUpClass(cls):
        ports = m.free_ports(2)
        cls.mesh_config = f"proxyListenPort: {ports[0]}\nproxyInboundListenPort: {ports[1]}\n"
        super().setUpClass()

    def sidecar(self, mode, name):
        e = self.mesh.start_envoy(PROTOCOL, {**SHOP, "metadata": f"INTERCEPTION_MODE={mode}"}, name)
        self.addCleanup(e.stop)
        self.mesh.wait_synced("shop-v1.bookshop")
        c = self.mesh.pilotd.client("shop-v1.bookshop")
        self.assertEqual({t: r["lastError"] for t, r in c["resources"].items() if "lastError" in r}, {})
        self.assertEqual(c["proxy_type"], "sidecar")
        return e

    def test_own_listeners(self):
        e = self.sidecar("NONE", "sidecar-none")
        names = {l["name"] for l in e.dump("dynamic_listeners")}
        self.assertNotIn("virtualOutbound", names)
        self.assertTrue(any(n.endswith(f"_{self.mesh.backend_port}") for n in names), names)
        port = self.mesh.backend_port
        for host in ("reviews", "reviews.bookshop", "reviews.bookshop.svc.cluster.local",
                     f"reviews.bookshop.svc.cluster.local:{port}", "10.96.1.2"):
            with m.Client(port, host) as c:
                m.eventually(lambda: set(m.shares(c, "/", 40)) == {"reviews-v1", "reviews-v2"}, why=f"answers of {host}")
        with m.Client(port, "ratings") as c:
            self.assertEqual(c.get("/").backend, "ratings-v1")
        self.mesh.write("mesh-rules.yaml", RULES)
        with m.Client(port, "reviews") as c:
            m.eventually(lambda: m.shares(c, "/", 30) == {"reviews-v1": 30}, why="the rule")
            for _ in range(10):
                self.assertEqual(c.get("/", {"x-reader": "tester"}).backend, "reviews-v2")

    def test_behind_iptables(self):
        e = self.sidecar("REDIRECT", "sidecar-redirect")
        names = {l["name"] for l in e.dump("dynamic_listeners")}
        self.assertLessEqual({"virtualOutbound", "virtualInbound"}, names)
        self.assertEqual(e.stat("listener_manager.total_listeners_warming"), 0)
        self.assertEqual(e.stat("listener_manager.total_listeners_active"), len(names))
        self.assertEqual(e.stat("cluster_manager.warming_clusters"), 0)
        clusters = {c["cluster"]["name"] for c in e.dump("dynamic_active_clusters")}
        self.assertLessEqual({"PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster",
                              f"inbound|{self.mesh.backend_port}||"}, clusters)
        self.mesh.write("mesh-rules.yaml", RULES)
        m.eventually(lambda: "tester" in str(e.routes()), why="the rule")
        self.mesh.wait_synced("shop-v1.bookshop")


if __name__ == "__main__":
    unittest.main(verbosity=2)
