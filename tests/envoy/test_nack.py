"""What Envoy refuses is reported, keeps its last good version, and stops nothing else."""
import unittest

import mesh as m
from case import PROTOCOL, ROUTES, MeshCase, Traffic

# RE2 does not know look-ahead: whoever translates this cannot tell, but Envoy refuses the whole route configuration.
BAD = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: aa-bad, namespace: bookshop}
spec:
  hosts: ["bookshop.example"]
  gateways: ["front"]
  http:
  - match:
    - uri: {regex: "/(?!reviews).*"}
    route:
    - destination: {host: shop}
"""
GOOD = BAD.replace("/(?!reviews).*", "/nothing-[0-9]+")


class Refused(MeshCase):
    def error(self):
        """The error that Envoy reported for routes, or None."""
        c = self.mesh.pilotd.client("gateway.bookshop")
        return c["resources"].get(ROUTES, {}).get("lastError") if c else None

    def rejects(self):
        return self.mesh.pilotd.metrics("pilot_total_xds_rejects").get('type="rds"', 0)

    def refuse(self):
        before = self.rejects()
        self.mesh.write("bad.yaml", BAD)
        m.eventually(self.error, why="Envoy's refusal being reported")
        m.eventually(lambda: self.rejects() > before, why="the refusal being counted")

    def test_reported_and_contained(self):
        with Traffic(self.mesh.front()) as t:
            t.wait_more(20)
            self.refuse()
            self.assertRegex(self.error(), "(?i)regex|perl")
            t.wait_more(50)
            # Endpoints and clusters go on.
            text = self.mesh.read("reviews.yaml")
            start = text.index("- addresses: [127.0.1.11]")
            self.mesh.write("reviews.yaml", text[:start] + text[text.index("- addresses: [127.0.1.12]"):])
            m.eventually(lambda: m.shares(self.front, "/reviews", 20).get("reviews-v1", 0) == 0, why="the endpoint going away")
            self.mesh.write("reviews.yaml", text)
            m.eventually(lambda: self.front.get("/reviews").backend == "reviews-v1", why="the endpoint coming back")
            self.mesh.write("annexe.yaml", self.mesh.read("shop.yaml").replace("shop", "annexe"))
            m.eventually(lambda: self.mesh.envoy.stats(r"^cluster\..*annexe.*membership_total$"), why="a new cluster")
        self.assertTrue(self.error(), "and the error is still shown")
        without = {k for k in t.answers if k not in ("reviews-v1", "reviews-v2") and "no healthy upstream" not in k}
        self.assertEqual(without, set(), "routes stayed in force")
        if PROTOCOL == "delta":
            self.assertTrue(any(n for k, n in self.mesh.envoy.stats(r"^http\..*\.rds\..*\.update_rejected$").items()))

    def test_other_routes_of_the_proxy_go_on(self):
        """The other gateway's route configuration has a name of its own."""
        self.refuse()
        self.mesh.edit("gateway-api.yaml", "{name: x-api, value: v1}", "{name: x-api, value: v1-new}")
        m.eventually(lambda: self.api.get("/v1/orders/7").json.get("headers", {}).get("x-api") == "v1-new",
                     why="the other route configuration following")

    def test_mended(self):
        self.refuse()
        self.mesh.write("bad.yaml", GOOD)
        m.eventually(lambda: not self.error(), why="the error going away")
        m.set_weights(self.mesh, 0, 100)
        m.eventually(lambda: m.shares(self.front, "/reviews", 30) == {"reviews-v2": 30}, why="new weights")
        self.assertEqual(self.front.get("/nothing-7").backend, "shop-v1")

    def test_same_error_is_not_repeated(self):
        """A refused version is not sent again and again."""
        self.refuse()
        before = self.rejects()

        def endpoints_sent():
            return self.mesh.pilotd.metrics("pilot_xds_pushes")['type="eds"']
        for i in range(6):
            sent = endpoints_sent()
            self.mesh.edit("shop.yaml", f"    version: v{1 + i % 2}\n", f"    version: v{2 - i % 2}\n")
            m.eventually(lambda: endpoints_sent() > sent, why="another change being sent")
        self.mesh.wait_synced(but=(ROUTES,))
        self.assertEqual(self.rejects(), before)

    def test_a_proxy_that_comes_later(self):
        """Envoy starts while its routes are broken: the rest works, and the report is there."""
        self.refuse()
        self.mesh.envoy.stop()
        m.eventually(lambda: not self.mesh.pilotd.client("gateway.bookshop"))
        self.mesh.envoy = m.Envoy(self.mesh, PROTOCOL, m.GATEWAY, "envoy-later")
        self.mesh.children.append(self.mesh.envoy)
        m.eventually(self.error, why="the refusal being reported")
        self.mesh.remove("bad.yaml")
        self.mesh.envoy.wait_ready()
        self.mesh.wait_answers()


if __name__ == "__main__":
    unittest.main(verbosity=2)
