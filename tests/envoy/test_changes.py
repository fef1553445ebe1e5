"""Configuration that changes, is broken, is half written, or is gone, while traffic flows."""
import os, time, unittest

import mesh as m
from case import PROTOCOL, MeshCase, Traffic

SLICE = """endpoints:
- addresses: [127.0.1.11]
  conditions: {ready: true}
  targetRef: {kind: Pod, name: reviews-v1, namespace: bookshop}
- addresses: [127.0.1.12]
  conditions: {ready: true}
  targetRef: {kind: Pod, name: reviews-v2, namespace: bookshop}
"""
ONE_ENDPOINT = SLICE[:SLICE.index("- addresses: [127.0.1.12]")]
BOTH = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: aa-both, namespace: bookshop}
spec:
  hosts: ["both.example"]
  gateways: ["front"]
  http:
  - route:
    - destination: {host: reviews}
"""
FRONT_FOR_ALL = ('hosts: ["bookshop.example"]', 'hosts: ["*"]')


class Changes(MeshCase):
    def both(self):
        """A client whose requests go to all endpoints of reviews."""
        self.mesh.edit("gateway.yaml", *FRONT_FOR_ALL)
        self.mesh.write("both.yaml", BOTH)
        c = m.Client(self.mesh.front_port, "both.example")
        m.eventually(lambda: set(m.shares(c, "/", 40)) == {"reviews-v1", "reviews-v2"}, why="traffic to both endpoints")
        return c

    def test_endpoint_removal_is_followed(self):
        with Traffic(self.both(), "/") as t:
            t.wait_more(100)
            pushes = self.mesh.pilotd.metrics("pilot_xds_pushes")
            self.mesh.edit("reviews.yaml", SLICE, ONE_ENDPOINT)

            def only_v1():
                before = t.answers.get("reviews-v2", 0)
                t.wait_more(60)
                return t.answers.get("reviews-v2", 0) == before
            m.eventually(only_v1, why="no traffic to the removed endpoint")
            after = self.mesh.pilotd.metrics("pilot_xds_pushes")
            for kind in ("cds", "lds", "rds"):
                self.assertEqual(after.get(f'type="{kind}"', 0), pushes.get(f'type="{kind}"', 0),
                                 f"an endpoint is no matter of {kind}")
            self.mesh.write("reviews.yaml", self.original["reviews.yaml"])
            before = t.answers.get("reviews-v2", 0)
            m.eventually(lambda: t.answers.get("reviews-v2", 0) > before, why="traffic to the endpoint that came back")
        self.assertEqual(set(t.answers), {"reviews-v1", "reviews-v2"}, "every request was answered")

    def test_broken_file_keeps_the_last_good_version(self):
        text = self.mesh.read("routes.yaml")
        with Traffic(self.front) as t:
            t.wait_more(20)
            self.mesh.write("routes.yaml", text.replace("  http:\n", "  http: {[\n", 1))
            issues = m.eventually(lambda: self.mesh.pilotd.get("/debug/issuesz"), why="the mistake being reported")
            self.assertTrue(any("routes.yaml" in i["origin"] for i in issues), issues)
            t.wait_more(100)
            m.set_weights(self.mesh, 95, 5)  # the file is still broken
            self.mesh.write("routes.yaml", text)
            m.eventually(lambda: not self.mesh.pilotd.get("/debug/issuesz"), why="the report going away")
            t.wait_more(20)
        self.assertLessEqual(set(t.answers), {"reviews-v1", "reviews-v2"})

    def test_bad_object_spares_its_neighbours(self):
        bad = BOTH.replace("    - destination: {host: reviews}", "    - destination: {host: reviews}\n      weight: many")
        text = self.mesh.read("routes.yaml")
        self.mesh.write("routes.yaml", bad + "---\n" + text)
        m.set_weights(self.mesh, 0, 100)
        m.eventually(lambda: m.shares(self.front, "/reviews", 30) == {"reviews-v2": 30}, why="the good objects in force")
        issues = self.mesh.pilotd.get("/debug/issuesz")
        self.assertTrue(any("aa-both" in i["object"] and "weight" in i["field"] for i in issues), issues)

    def test_half_written_file(self):
        """A slow writer: the file is cut off at every place once, and sometimes closed there."""
        text = self.mesh.read("routes.yaml")
        new = text.replace("weight: 95", "weight: 0").replace("weight: 5\n", "weight: 100\n")
        self.assertNotEqual(text, new)
        with self.mesh.front() as other, Traffic(self.front) as t:
            t.wait_more(10)
            with open(self.mesh.path("routes.yaml"), "w") as f:  # empty from here on, but not closed
                for i in range(0, len(new), 40):
                    f.write(new[i:i + 40])
                    f.flush()
                    time.sleep(0.01)
            m.eventually(lambda: m.shares(other, "/reviews", 30) == {"reviews-v2": 30}, why="the whole file")
            t.wait_more(10)
            document = text.index("---")  # a cut inside of the first object: after it, the file is whole without the second
            for i in range(document - 400, document - 30, 37):
                with open(self.mesh.path("routes.yaml"), "w") as f:
                    f.write(text[:i] + "\n  broken: [")
                time.sleep(0.02)
            t.wait_more(50)
            self.mesh.write("routes.yaml", text)
            m.eventually(lambda: t.answers.get("reviews-v1", 0) > 50, why="the old weights")
        self.assertEqual(set(t.answers), {"reviews-v1", "reviews-v2"}, "every request was answered")

    def test_rule_removed_and_back(self):
        self.mesh.remove("routes.yaml")
        m.eventually(lambda: self.front.get("/reviews").status == 404, why="no route any more")
        self.assertEqual(self.api.get("/reviews").status, 200, "the other gateway's routes stay")
        self.mesh.write("routes.yaml", self.original["routes.yaml"])
        m.eventually(lambda: self.front.get("/reviews").status == 200, why="the route being back")

    def test_service_moves(self):
        """A new service, a route to it, and away again: never a request without an answer."""
        new = self.mesh.read("shop.yaml").replace("name: shop", "name: annexe").replace("service-name: shop",
                                                                                          "service-name: annexe")
        new = new.replace("app: shop", "app: annexe").replace("127.0.1.1\n", "127.0.1.31\n").replace("[127.0.1.1]",
                                                                                                    "[127.0.1.31]")
        with Traffic(self.front, "/") as t:
            for _ in range(3):
                self.mesh.write("annexe.yaml", new)
                self.mesh.edit("routes.yaml", "  - name: shop # everything else\n    route:\n"
                               "    - destination: {host: shop}\n", "  - name: shop # everything else\n    route:\n"
                               "    - destination: {host: annexe}\n")
                before = t.answers.get("orders-v1", 0)
                m.eventually(lambda: t.answers.get("orders-v1", 0) > before + 10, why="traffic to the new service")
                self.mesh.write("routes.yaml", self.original["routes.yaml"])
                before = t.answers.get("shop-v1", 0)
                m.eventually(lambda: t.answers.get("shop-v1", 0) > before + 10, why="traffic to the old service")
                self.mesh.remove("annexe.yaml")
                t.wait_more(20)
        self.assertEqual(set(t.answers), {"shop-v1", "orders-v1"}, f"every request was answered ({PROTOCOL})")

    def test_what_nobody_reads_is_not_sent(self):
        self.mesh.wait_synced()
        before = self.mesh.pilotd.metrics("pilot_xds_pushes")
        self.mesh.edit("shop.yaml", "  name: shop-v1\n", "  name: shop-v1\n  annotations: {nobody-reads: this}\n  "
                       "resourceVersion: '12'\n")
        os.utime(self.mesh.path("routes.yaml"))
        self.mesh.write("routes.yaml", "# a comment\n" + self.mesh.read("routes.yaml"))
        # What is written after it in the same folder is seen after it.
        self.settle()
        after = self.mesh.pilotd.metrics("pilot_xds_pushes")
        for kind in ("cds", "eds", "lds"):
            self.assertEqual(after.get(f'type="{kind}"', 0), before.get(f'type="{kind}"', 0), kind)


if __name__ == "__main__":
    unittest.main(verbosity=2)
