"""Each routing feature of examples/bookshop, through a real Envoy."""
import unittest, uuid

import mesh as m
from case import MeshCase


class Routing(MeshCase):
    def assert_share(self, got, backend, share):
        """The backend's share, within five standard deviations of what chance gives."""
        n = sum(got.values())
        self.assertAlmostEqual(got.get(backend, 0) / n, share, delta=5 * (share * (1 - share) / n) ** .5, msg=str(got))

    def test_weights(self):
        got = m.shares(self.front, "/reviews", 1000)
        self.assertEqual(set(got), {"reviews-v1", "reviews-v2"})
        self.assert_share(got, "reviews-v2", .05)

    def test_weights_follow_the_file(self):
        m.set_weights(self.mesh, 0, 100)
        m.eventually(lambda: m.shares(self.front, "/reviews", 50) == {"reviews-v2": 50})
        m.set_weights(self.mesh, 50, 50)
        m.eventually(lambda: self.front.get("/reviews").backend == "reviews-v1")
        self.assert_share(m.shares(self.front, "/reviews", 400), "reviews-v1", .5)

    def test_header(self):
        for _ in range(30):
            self.assertEqual(self.front.get("/reviews", {"x-reader": "tester"}).backend, "reviews-v2")
        others = {self.front.get("/reviews", {"x-reader": "somebody"}).backend for _ in range(30)}
        self.assertIn("reviews-v1", others)

    def test_retry(self):
        for fail, status, tries in ((0, 200, 1), (2, 200, 3), (9, 503, 4)):
            key = uuid.uuid4().hex
            self.assertEqual(self.front.get(f"/ratings?fail={fail}&key={key}").status, status)
            self.assertEqual(self.mesh.seen("127.0.1.21", key)["count"], tries)

    def test_other_routes_are_not_retried_on_503(self):
        key = uuid.uuid4().hex
        self.assertEqual(self.front.get(f"/?fail=1&key={key}").status, 503)
        self.assertEqual(self.mesh.seen("127.0.1.1", key)["count"], 1)

    def test_timeout(self):
        a = self.front.get("/search?sleep=8")
        self.assertEqual(a.status, 504)
        self.assertLess(a.seconds, 7)
        self.assertEqual(self.front.get("/search?sleep=0").status, 200)
        self.assertEqual(self.front.get("/?sleep=1").status, 200, "a route without timeout")

    def test_mirror(self):
        key = uuid.uuid4().hex
        for n in range(1, 11):
            self.assertEqual(self.front.get(f"/orders?key={key}").backend, "orders-v1")
        m.eventually(lambda: self.mesh.seen("127.0.1.41", key)["count"] == 10, why="the audit seeing ten orders")
        self.assertEqual(self.mesh.seen("127.0.1.31", key)["count"], 10)
        self.assertEqual(self.mesh.seen("127.0.1.41", key)["host"], "bookshop.example", "no -shadow suffix")

    def test_redirect(self):
        a = self.front.get("/catalogue")
        self.assertEqual((a.status, a.headers["location"]), (301, "http://bookshop.example/books"))

    def test_rewrite(self):
        a = self.front.get("/api/v0/books?a=b")
        self.assertEqual((a.backend, a.json["path"], a.json["host"]), ("shop-v1", "/books", "shop.internal"))
        self.assertEqual(a.json["headers"]["x-old-api"], "true")

    def test_fault(self):
        self.assertEqual(self.front.get("/", {"x-drill": "abort"}).status, 418)
        self.assertEqual(self.front.get("/").status, 200)

    def test_unknown_host(self):
        c = m.Client(self.mesh.front_port, "nobody.example")
        self.addCleanup(c.close)
        self.assertEqual(c.get("/").status, 404)

    def test_gateway_api_weights_and_header(self):
        got = m.shares(self.api, "/reviews", 400)
        self.assertEqual(set(got), {"reviews-v1", "reviews-v2"})
        self.assert_share(got, "reviews-v2", .25)
        for _ in range(20):
            self.assertEqual(self.api.get("/reviews", {"x-reader": "tester"}).backend, "reviews-v2")

    def test_gateway_api_filters(self):
        a = self.api.get("/v1/orders/7?x=y")
        self.assertEqual((a.backend, a.json["path"], a.json["headers"]["x-api"]), ("orders-v1", "/orders/7", "v1"))
        a = self.api.get("/docs")
        self.assertEqual((a.status, a.headers["location"].split("://")[1].split("/")[0].split(":")[0]),
                         (302, "bookshop.example"))
        self.assertEqual(self.api.get("/nothing-here").status, 404)

    def test_no_complaints(self):
        c = self.mesh.pilotd.client("gateway.bookshop")
        self.assertFalse([r["lastError"] for r in c["resources"].values() if "lastError" in r])
        self.assertEqual(sum(self.mesh.pilotd.metrics("pilot_total_xds_rejects").values()), 0)
        self.assertEqual(self.mesh.pilotd.get("/debug/issuesz"), [], "the example is without mistakes")


if __name__ == "__main__":
    unittest.main(verbosity=2)
