"""Mutual TLS between two stock Envoys that pilot-proxy runs, behind iptables, with certificates of pilotd's CA."""
import json, os, re, signal, threading, time, unittest

import mesh as m
import mtls
import netns
import tokens

PROTOCOL = os.environ.get("PROTOCOL", "delta")
STRICT = """apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: demo}
spec:
  mtls: {mode: STRICT}
"""
ALLOW = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who, namespace: demo}
spec:
  selector:
    matchLabels: {app: reviews}
  action: ALLOW
  rules:
  - from:
    - source:
        principals: ["cluster.local/ns/demo/sa/%s"]
"""
METHODS = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who, namespace: demo}
spec:
  action: DENY
  rules:
  - to:
    - operation: {methods: ["DELETE"]}
"""
JWT = """apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: who, namespace: demo}
spec:
  selector:
    matchLabels: {app: reviews}
  jwtRules:
  - issuer: %s
    audiences: ["reviews"]
    jwks: '%s'
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who, namespace: demo}
spec:
  selector:
    matchLabels: {app: reviews}
  rules:
  - from:
    - source:
        principals: ["cluster.local/ns/demo/sa/shop"]
        requestPrincipals: ["*"]
"""
GATEWAY = """apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: demo}
spec:
  selector: {app: front}
  servers:
  - port: {number: 8080, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: demo}
spec:
  hosts: ["*"]
  gateways: ["front"]
  http:
  - route:
    - destination: {host: reviews, port: {number: 8000}}
"""
TTL = 8  # seconds; renewed at half of it


class Traffic:
    """Requests from `shop` without pause, half of them on new connections, in a `with` block; then `answers`."""

    def __init__(self, world):
        self.world, self.answers, self.stopping = world, {}, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        with netns.inside("shop"):
            kept = m.Client(mtls.PORT, "reviews.demo", address=mtls.SERVICE)
            while not self.stopping.is_set():
                for client in (kept, m.Client(mtls.PORT, "reviews.demo", address=mtls.SERVICE)):
                    try:
                        who = str(client.get("/").status)
                    except Exception as e:  # whatever goes wrong is counted
                        who = repr(e)
                    self.answers[who] = self.answers.get(who, 0) + 1
                    if client is not kept:
                        client.close()
                time.sleep(0.002)
            kept.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(m.PATIENCE)


class MutualTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(mtls.World())
        cls.world.start(PROTOCOL, f"{TTL}s")
        m.eventually(lambda: cls.world.from_shop().status == 200, why="a first answer")

    def tearDown(self):
        for name in ("strict.yaml", "who.yaml", "front.yaml"):
            self.world.write(name, None)
        m.eventually(lambda: self.world.from_shop().status == 200 and self.world.from_outside().status == 200,
                     why="the configuration of the start")

    def test_identity_is_seen(self):
        xfcc = self.world.from_shop().json["headers"]["x-forwarded-client-cert"]
        self.assertIn("URI=spiffe://cluster.local/ns/demo/sa/shop", xfcc)
        self.assertIn("By=spiffe://cluster.local/ns/demo/sa/reviews", xfcc)
        self.assertNotIn("x-forwarded-client-cert", self.world.from_outside().json["headers"])
        self.assertEqual(self.world.shop.certificate()[1], "spiffe://cluster.local/ns/demo/sa/shop")

    def test_strict_refuses_plaintext(self):
        self.assertEqual(self.world.from_outside().status, 200)
        self.world.write("strict.yaml", STRICT)

        def refused():
            try:
                return self.world.from_outside().status != 200
            except OSError:
                return True
        m.eventually(refused, why="plaintext being refused")
        for _ in range(20):
            with self.assertRaises(OSError):
                self.world.from_outside()
            self.assertEqual(self.world.from_shop().status, 200)

    def test_policy_by_identity(self):
        self.world.write("who.yaml", ALLOW % "somebody-else")
        m.eventually(lambda: self.world.from_shop().status == 403, why="the denial")
        self.assertEqual(self.world.from_outside().status, 403)
        self.world.write("who.yaml", ALLOW % "shop")
        m.eventually(lambda: self.world.from_shop().status == 200, why="the permission")
        self.assertEqual(self.world.from_outside().status, 403)

    def test_method_denied(self):
        self.world.write("who.yaml", METHODS)
        m.eventually(lambda: self.world.from_shop(method="DELETE").status == 403, why="the denial")
        self.assertEqual(self.world.from_shop().status, 200)
        self.assertEqual(self.world.from_shop(method="POST").status, 200)

    def test_jwt_required(self):
        def bearer(audience):
            return {"authorization": "Bearer " + self.world.tokens.token("demo", "a-user", audience)}
        self.world.write("who.yaml", JWT % (tokens.ISSUER, self.world.tokens.jwks))
        m.eventually(lambda: self.world.from_shop().status == 403, why="the denial without a token")
        self.assertEqual(self.world.from_shop(headers=bearer("reviews")).status, 200)
        self.assertEqual(self.world.from_shop(headers=bearer("others")).status, 403)  # it is for somebody else
        self.assertEqual(self.world.from_shop(headers={"authorization": "Bearer a.b.c"}).status, 401)

    def test_renewal_loses_nothing(self):
        serials = set()
        with Traffic(self.world) as traffic:
            end = time.monotonic() + 3 * TTL
            while time.monotonic() < end or len(serials) < 4:
                serials.update(p.certificate()[0] for p in (self.world.shop, self.world.reviews))
                self.assertLess(time.monotonic(), end + m.PATIENCE)
                time.sleep(0.2)
        self.assertEqual(set(traffic.answers), {"200"}, traffic.answers)
        self.assertGreaterEqual(traffic.answers["200"], 200)
        print(f"  {traffic.answers['200']} requests, {len(serials)} certificates", flush=True)

    def test_status(self):
        metrics = self.world.shop.fetch(mtls.STATUS, "/stats/prometheus")
        self.assertRegex(metrics, r'istio_agent_cert_expiry_seconds\{resource_name="default"\} [1-8]\n')
        self.assertIn("envoy_cluster_upstream_rq", metrics)
        self.assertNotIn("istio_agent_", self.world.shop.fetch(mtls.PROMETHEUS, "/stats/prometheus"))
        self.assertIsNotNone(self.world.shop.fetch(mtls.STATUS, "/healthz/ready"))
        with open(os.path.join(self.world.shop.folder, "log")) as f:
            self.assertIsNone(re.search("PRIVATE KEY|eyJ", f.read()))  # neither key nor token

    def test_commands(self):
        shop = self.world.shop
        self.assertEqual(shop.command("wait", "--timeoutSeconds", "5"), (0, ""))
        self.assertEqual(shop.command("wait", "--timeoutSeconds", "0", "--url", "http://127.0.0.1:1/")[0], 1)
        self.assertEqual(shop.command("request", "GET", "healthz/ready"), (0, ""))
        self.assertEqual(shop.command("request", "GET", "/nowhere")[0], 1)
        status, text = shop.command("request", "--debug-port", "15000", "GET", "server_info")
        self.assertEqual((status, json.loads(text)["state"]), (0, "LIVE"))

    def test_drains(self):
        """At the end what is under way is answered; with the wish to wait for it, however long that takes."""
        self.world.reviews.stop()
        self.world.restart_reviews(EXIT_ON_ZERO_ACTIVE_CONNECTIONS="true", MINIMUM_DRAIN_DURATION="1s")
        # Not from shop: its Envoy would keep the connection open.
        m.eventually(lambda: self.world.from_outside().status == 200, why="the new proxy's answer")
        answers = []
        slow = threading.Thread(target=lambda: answers.append(self.world.from_outside("/?sleep=4").status))
        slow.start()
        time.sleep(0.5)
        start = time.monotonic()
        self.world.reviews.proc.terminate()
        time.sleep(0.5)
        with self.assertRaises(OSError):  # 503: it is about to end
            self.world.reviews.fetch(mtls.STATUS, "/healthz/ready")
        self.assertEqual(self.world.reviews.proc.wait(m.PATIENCE), 0)
        slow.join(m.PATIENCE)
        self.assertEqual(answers, [200])
        self.assertGreater(time.monotonic() - start, 3)
        self.world.restart_reviews()

    def test_envoy_dies(self):
        self.world.reviews.stop()
        self.world.restart_reviews()
        pid = self.world.reviews.envoy_pid()
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.world.reviews.proc.wait(m.PATIENCE), 128 + signal.SIGKILL)
        self.assertIn("Envoy ended", self.world.reviews.tail())
        self.world.reviews.proc.returncode = 0  # as it should be: nothing to complain about at the end
        self.world.restart_reviews()

    def test_quit(self):
        self.world.reviews.fetch(mtls.STATUS, "/quitquitquit", "POST")
        self.assertEqual(self.world.reviews.proc.wait(m.PATIENCE), 0)
        self.world.restart_reviews()

    def test_certificate_from_files(self):
        """A certificate that somebody else has put there is used, and no CA is asked."""
        self.world.reviews.stop()
        self.world.restart_reviews(OUTPUT_CERTS="out", SECRET_TTL="1h")
        serial = self.world.reviews.certificate()[0]
        self.world.reviews.stop()
        self.world.restart_reviews("--certFolder", "out", "--token", "nowhere", CA_ADDR="127.0.0.1:1")
        self.assertEqual(self.world.reviews.certificate()[0], serial)
        m.eventually(lambda: self.world.from_shop().status == 200, why="an answer with the certificate from files")
        metrics = self.world.reviews.fetch(mtls.STATUS, "/stats/prometheus")
        self.assertNotIn("istio_agent_num_outgoing_requests{", metrics)
        self.world.reviews.stop()
        self.world.restart_reviews()

    def test_gateway(self):
        """A router has an identity, too: requests from outside reach a workload that takes mutual TLS only."""
        self.world.write("strict.yaml", STRICT)
        self.world.write("front.yaml", GATEWAY)
        netns.add("front", "10.77.0.4")
        front = mtls.Proxy(self.world, "front", "10.77.0.4", PROTOCOL, kind="router")
        try:
            front.wait_ready()

            def ask():
                with m.Client(8080, "anything.example", address="10.77.0.4") as c:
                    return c.get("/")
            m.eventually(lambda: ask().status == 200, why="an answer through the gateway")
            self.assertIn("URI=spiffe://cluster.local/ns/demo/sa/front", ask().json["headers"]["x-forwarded-client-cert"])
        finally:
            front.stop()

    def test_wrong_token_gets_nothing(self):
        netns.add("thief", "10.77.0.9")
        p = mtls.Proxy(self.world, "thief", "10.77.0.9", PROTOCOL, audience="somebody else")
        try:
            p.wait_for(lambda: "UNAUTHENTICATED" in p.tail())
            with self.assertRaises(OSError):
                p.fetch(mtls.READINESS, "/healthz/ready")
        finally:
            p.stop()


class RootRotation(unittest.TestCase):
    """The CA's root is replaced while requests flow: certificates of the old and of the new one meet, and none is refused."""
    ENV = {"CITADEL_SELF_SIGNED_CA_CERT_TTL": "60s", "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL": "1s",
           "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE": "20",
           "CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR": "false", "DEFAULT_WORKLOAD_CERT_TTL": f"{TTL}s"}

    def test_rotation_loses_nothing(self):
        with mtls.World(self.ENV) as world:
            world.start(PROTOCOL, f"{TTL}s")
            m.eventually(lambda: world.from_shop().status == 200, why="a first answer")
            proxies, old = (world.shop, world.reviews), world.publish_root()

            def rotated():
                new = world.publish_root()
                return new != old and all(new in p.roots() for p in proxies)

            def forgotten():
                world.publish_root()
                return not any(old in p.roots() for p in proxies)
            m.eventually(lambda: all(old in p.roots() for p in proxies), why="the first root in every proxy")
            with Traffic(world) as traffic:
                m.eventually(rotated, seconds=90, pause=0.2, why="the new root")
                print(f"  rotated after {sum(traffic.answers.values())} requests", flush=True)
                m.eventually(forgotten, seconds=90, pause=0.2, why="the end of the old root")
            self.assertEqual(set(traffic.answers), {"200"}, traffic.answers)
            print(f"  {traffic.answers['200']} requests", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
