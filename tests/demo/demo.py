"""The demo: see run.sh. What is asked of which backend is written in examples/bookshop/routes.yaml and gateway-api.yaml."""
import http.client, os, sys, threading, time, uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "envoy"))
import mesh as m

WIDTHS = (16, 37, 33, 42)


class Table:
    def __init__(self):
        self.wrong = 0
        self.line(("feature", "asked", "wanted", "got"), "ok")
        self.line(["-" * w for w in WIDTHS], "--")

    @staticmethod
    def line(cells, last):
        print("  ".join(str(c).ljust(w) for c, w in zip(cells, WIDTHS)) + "  " + last)

    def row(self, feature, asked, wanted, got, ok):
        self.wrong += not ok
        self.line((feature, asked, wanted, got), "ok" if ok else "WRONG")


def percent(got, *backends):
    total = sum(got.values())
    text = ", ".join(f"{got.get(b, 0) / total:.1%} {b}" for b in backends)
    others = total - sum(got.get(b, 0) for b in backends)
    return text + (f", {others} others" if others else "")


def near(got, backend, share, tolerance):
    """True if the backend's share of the answers is as wanted."""
    return abs(got.get(backend, 0) / sum(got.values()) - share) <= tolerance


def istio_routes(mesh, table):
    c = mesh.front()
    got = m.shares(c, "/reviews", 1000)
    table.row("weights", "1000 x GET /reviews", "95% reviews-v1, 5% reviews-v2", percent(got, "reviews-v1", "reviews-v2"),
              near(got, "reviews-v1", .95, .035) and near(got, "reviews-v2", .05, .035))
    got = {}
    for _ in range(50):
        a = c.get("/reviews", {"x-reader": "tester"})
        got[a.backend] = got.get(a.backend, 0) + 1
    table.row("header", "50 x GET /reviews, x-reader: tester", "100% reviews-v2", percent(got, "reviews-v2"),
              got == {"reviews-v2": 50})
    key = uuid.uuid4().hex
    a = c.get(f"/ratings?fail=2&key={key}")
    tries = mesh.seen("127.0.1.21", key)["count"]
    table.row("retry", "GET /ratings, which fails twice", "200 at the third try", f"{a.status} at try {tries}",
              (a.status, tries) == (200, 3))
    a = c.get("/search?sleep=3")
    table.row("timeout", "GET /search, which takes 3 s", "504 after 0.5 s", f"{a.status} after {a.seconds:.2f} s",
              a.status == 504 and 0.45 < a.seconds < 1.5)
    key = uuid.uuid4().hex
    a = c.get(f"/orders?key={key}")
    try:
        shadow = m.eventually(lambda: mesh.seen("127.0.1.41", key)["count"], seconds=3)
    except m.Failed:
        shadow = 0
    table.row("mirror", "GET /orders", "orders-v1 answers, audit sees 1", f"{a.backend} answers, audit saw {shadow}",
              (a.backend, shadow) == ("orders-v1", 1))
    a = c.get("/catalogue")
    table.row("redirect", "GET /catalogue", "301 to /books", f"{a.status} to {a.headers.get('location')}",
              a.status == 301 and a.headers.get("location", "").endswith("bookshop.example/books"))
    a = c.get("/api/v0/books")
    got = (a.backend, a.json.get("path"), a.json.get("host"))
    table.row("rewrite", "GET /api/v0/books", "shop-v1 sees shop.internal/books", f"{got[0]} sees {got[2]}{got[1]}",
              got == ("shop-v1", "/books", "shop.internal"))
    a = c.get("/", {"x-drill": "abort"})
    table.row("fault", "GET /, x-drill: abort", "418", a.status, a.status == 418)
    c.close()


def gateway_api_routes(mesh, table):
    c = mesh.api()
    got = m.shares(c, "/reviews", 400)
    table.row("HTTPRoute", "400 x GET /reviews", "75% reviews-v1, 25% reviews-v2", percent(got, "reviews-v1", "reviews-v2"),
              near(got, "reviews-v1", .75, .11) and near(got, "reviews-v2", .25, .11))
    a = c.get("/reviews", {"x-reader": "tester"})
    table.row("HTTPRoute", "GET /reviews, x-reader: tester", "reviews-v2", a.backend or a.status, a.backend == "reviews-v2")
    a = c.get("/v1/orders/7")
    got = (a.backend, a.json.get("path"), a.json.get("headers", {}).get("x-api"))
    table.row("HTTPRoute", "GET /v1/orders/7", "orders-v1: /orders/7, x-api: v1", f"{got[0]}: {got[1]}, x-api: {got[2]}",
              got == ("orders-v1", "/orders/7", "v1"))
    a = c.get("/docs")
    table.row("HTTPRoute", "GET /docs", "302 to bookshop.example", f"{a.status} to {a.headers.get('location')}",
              a.status == 302 and "//bookshop.example" in a.headers.get("location", ""))
    c.close()


class Acknowledgement(threading.Thread):
    """When the gateway acknowledged new routes."""

    def __init__(self, mesh):
        super().__init__(daemon=True)
        self.pilotd, self.when = mesh.pilotd, None
        self.before = self.state()
        self.start()

    def state(self):
        c = self.pilotd.client("gateway.bookshop")
        return c["route_sent"], c["route_acked"], c["resources"].get("type.googleapis.com/envoy.config.route.v3."
                                                                     "RouteConfiguration", {}).get("ackedVersion")

    def run(self):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            sent, acked, version = self.state()
            if sent == acked and version != self.before[2]:
                self.when = time.monotonic()
                return
            time.sleep(0.0005)


def follow_edit(mesh, table):
    """Edits the weights, and watches."""
    c = mesh.front()
    c.get("/reviews")
    ack = Acknowledgement(mesh)
    start = time.monotonic()
    m.set_weights(mesh, 0, 100)
    last_v1, got, n = start, {}, 0
    while time.monotonic() < start + 10:
        a = c.get("/reviews")
        n += 1
        got[a.backend] = got.get(a.backend, 0) + 1
        if a.backend != "reviews-v2":
            last_v1 = time.monotonic()
        elif time.monotonic() > last_v1 + 0.5 and (ack.when or time.monotonic() > start + 5):
            break
    ack.join(1)
    c.close()
    acked = f"after {(ack.when - start) * 1000:.1f} ms" if ack.when else "never"
    table.row("edit of the file", "weights 95/5 -> 0/100, saved", "Envoy acknowledges", acked, bool(ack.when))
    table.row("", f"{n} x GET /reviews meanwhile", "no answer from v1 any more",
              f"none later than {(last_v1 - start) * 1000:.1f} ms",
              last_v1 < start + 2 and set(got) <= {"reviews-v1", "reviews-v2"})


def keep(mesh):
    e, p = mesh.envoy, mesh.pilotd
    print(f"""
It stays until Ctrl-C. To try:
  curl -H 'host: bookshop.example' http://127.0.0.1:{mesh.front_port}/reviews
  curl -H 'host: api.bookshop.example' http://127.0.0.1:{mesh.api_port}/v1/orders/7
  curl http://127.0.0.1:{p.http}/debug/syncz?pretty        what Envoy was sent and accepted
  curl http://127.0.0.1:{p.monitoring}/metrics
  curl http://127.0.0.1:{e.admin}/config_dump              Envoy's side
  edit {mesh.config}/routes.yaml""")
    try:
        while e.alive() and p.alive():
            time.sleep(0.5)
        print("a process ended")
    except KeyboardInterrupt:
        print()


def main():
    with open(os.path.join(m.ROOT, "examples", "mesh.yaml")) as f:
        mesh_config = f.read()
    with m.Mesh(mesh_config, agents=False) as mesh:
        begin = time.monotonic()
        mesh.start_backends()
        p = mesh.start_pilotd()
        e = mesh.envoy = mesh.start_envoy("delta")
        mesh.wait_answers()
        print(f"pilotd serves xDS on 127.0.0.1:{p.grpc} from {len(os.listdir(mesh.config))} YAML files. A stock Envoy took its"
              f" configuration from it:\n{e.stat('cluster_manager.active_clusters')} clusters,"
              f" {e.stat('listener_manager.total_listeners_active')} listeners, {len(e.routes())} route configurations;"
              f" all up {time.monotonic() - begin:.1f} s after the start.\n")
        table = Table()
        for part in (istio_routes, gateway_api_routes, follow_edit):
            try:
                part(mesh, table)
            except (OSError, http.client.HTTPException) as e:
                table.row(part.__name__, "all of the rest", "answers", repr(e), False)
        if os.environ.get("KEEP", "0") not in ("", "0"):
            keep(mesh)
        if table.wrong:
            raise m.Failed(f"{table.wrong} of the above went wrong; logs are in {mesh.dir}")


try:
    main()
except m.Failed as failure:
    print(f"\ndemo: {failure}", file=sys.stderr)
    sys.exit(1)
except KeyboardInterrupt:
    sys.exit(130)
