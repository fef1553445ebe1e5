"""A mesh with identities: pilotd with a CA of its own on a TLS port, workloads in network namespaces behind iptables, each with
a stock Envoy that pilot-proxy runs."""
import base64, contextlib, json, os, shutil, subprocess, sys, tempfile

import mesh as m
import netns
from tokens import Tokens, openssl

CONFIG = os.path.join(m.ROOT, "tests", "envoy", "mtls")
SHOP, REVIEWS, SERVICE, PORT = "10.77.0.2", "10.77.0.3", "10.96.1.2", 8000
ADMIN, READINESS, STATUS, PROMETHEUS = 15000, 15021, 15020, 15090
XDS = 15012


class Pilotd(m.Child):
    def __init__(self, world):
        self.world = world
        super().__init__("pilotd", ["pilotd", "discovery", "--configDir", world.config, "--meshConfig", world.mesh_file,
                                    "--grpcAddr", f"{netns.BRIDGE}:15010", "--secureGRPCAddr", f"{netns.BRIDGE}:{XDS}",
                                    "--httpAddr", "127.0.0.1:8080", "--monitoringAddr", "127.0.0.1:15014",
                                    "--httpsAddr=", "--caDir", world.path("ca"), "--shutdownDuration", "1s"],
                         world.path("pilotd.log"), env={"JWT_RULE": world.tokens.rule, **world.pilotd_env})
        self.wait_for(lambda: m.fetch(8080, "/ready") is not None)

    def stop(self, *args):
        status = super().stop(*args)
        said = self.tail(100000)
        if status != 0 or any(s in said for s in ("Sanitizer", "runtime error:", "assertion failed")):
            raise m.Failed(f"pilotd ended with {status}:\n{said[-4000:]}")


class Proxy(m.Child):
    """pilot-proxy with its Envoy, in the namespace of the same name."""

    def __init__(self, world, name, address, protocol, ttl="24h", audience="istio-ca", env=None, args=(), kind="sidecar"):
        self.name_space, self.folder = name, world.path(name)
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, "token"), "w") as f:
            f.write(world.tokens.token("demo", name, audience))
        line = ["pilot-proxy", "proxy", kind, "--name", name, "--namespace", "demo", "--serviceAccount", name,
                "--ip", address, "--labels", f"app={name}", "--discoveryAddress", f"{netns.BRIDGE}:{XDS}",
                "--serverName", "istiod.istio-system.svc", "--rootCert", world.path("root.pem"), "--token", "token",
                "--socket", "./sds", "--configPath", ".", "--protocol", protocol, "--concurrency", "1",
                "--rootChangeDelay", "1s", *args]
        super().__init__(name, netns.command(name, *line, proxy=True), os.path.join(self.folder, "log"),
                         env={"SECRET_TTL": ttl, "SECRET_GRACE_PERIOD_RATIO_JITTER": "0.05",
                              "TERMINATION_DRAIN_DURATION_SECONDS": "1", **(env or {})}, cwd=self.folder)

    def fetch(self, port, path, method="GET"):
        with netns.inside(self.name_space):
            return m.fetch(port, path, method)

    def wait_ready(self):
        self.wait_for(lambda: self.fetch(READINESS, "/healthz/ready") is not None)
        return self

    def command(self, *args):
        """A command of pilot-proxy as a hook of the pod runs it. Exit status and output."""
        done = subprocess.run(netns.command(self.name_space, "pilot-proxy", *args), capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    def envoy_pid(self):
        with open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children") as f:
            return int(f.read().split()[0])

    def certificate(self):
        """What Envoy says of the certificate that it shows: serial number and SPIFFE ID."""
        for c in json.loads(self.fetch(ADMIN, "/certs"))["certificates"]:
            for leaf in c["cert_chain"]:
                return leaf["serial_number"], leaf["subject_alt_names"][0]["uri"]
        return None

    def roots(self):
        """Serial numbers of the roots that Envoy trusts."""
        return {c["serial_number"].lower().zfill(32) for entry in json.loads(self.fetch(ADMIN, "/certs"))["certificates"]
                for c in entry["ca_cert"]}

    def stop(self, *args):
        """Ends it as a kubelet does; fails if it does not end well."""
        status = super().stop(*args)
        if status != 0 or "Sanitizer" in self.tail(100000):
            raise m.Failed(f"pilot-proxy {self.name} ended with {status}:\n{self.tail(4000)}")


class World:
    """Use in a `with` block. pilotd_env: more environment of pilotd."""

    def __init__(self, pilotd_env=None):
        self.pilotd_env = pilotd_env or {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.stack = stack
            self.open()
            self.stack = stack.pop_all()
        return self

    def open(self):
        self.dir = tempfile.mkdtemp(prefix="mtls-", dir=os.environ.get("PD_TMP"))
        self.config, self.mesh_file = self.path("config"), self.path("mesh.yaml")
        shutil.copytree(CONFIG, self.config)
        with open(self.mesh_file, "w") as f:
            f.write("{}\n")
        self.tokens = Tokens(self.path("issuer.key"))
        os.makedirs(self.path("ca"), mode=0o700)
        netns.start_bridge()
        self.stack.callback(netns.stop_bridge)
        for name, address in (("shop", SHOP), ("reviews", REVIEWS)):
            netns.add(name, address)
            netns.redirect(name)
        self.pilotd = self.child(Pilotd(self))
        self.publish_root()

    def __exit__(self, *failed):
        return self.stack.__exit__(*failed)

    def child(self, c):
        self.stack.callback(c.stop)
        return c

    def start(self, protocol, ttl="24h"):
        """The application of `reviews`, and both proxies."""
        backends = self.child(m.Child("backends", netns.command("reviews", sys.executable, m.BACKENDS, "--port", str(PORT),
                                                                f"reviews={REVIEWS}"), self.path("backends.log")))
        backends.wait_for(lambda: "ready" in backends.tail())
        self.protocol, self.ttl = protocol, ttl
        self.reviews = self.child(Proxy(self, "reviews", REVIEWS, protocol, ttl))
        self.shop = self.child(Proxy(self, "shop", SHOP, protocol, ttl))
        self.reviews.wait_ready()
        self.shop.wait_ready()

    def restart_reviews(self, *args, **env):
        """A new proxy in the place of one that has ended, with more arguments and environment."""
        self.reviews = self.child(Proxy(self, "reviews", REVIEWS, self.protocol, self.ttl, env=env, args=args))
        self.reviews.wait_ready()

    def publish_root(self):
        """The CA's root into the file of the proxies, as the ConfigMap of a cluster brings it. Returns its serial number."""
        with open(self.path("ca/istio-ca-secret.json")) as f:
            pem = base64.b64decode(json.load(f)["data"]["ca-cert.pem"])
        if not os.path.exists(self.path("root.pem")) or open(self.path("root.pem"), "rb").read() != pem:
            with open(self.path("root.pem.new"), "wb") as root:
                root.write(pem)
            os.rename(self.path("root.pem.new"), self.path("root.pem"))
        return openssl("x509", "-noout", "-serial", data=pem).decode().strip().split("=")[1].lower().zfill(32)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        """A file of the configuration, as careful programs write it; None removes it."""
        path = os.path.join(self.config, name)
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def from_shop(self, path="/", **how):
        """One request of the application in `shop` to the service, on a new connection."""
        with netns.inside("shop"), m.Client(PORT, "reviews.demo", address=SERVICE) as c:
            return c.get(path, **how)

    def from_outside(self, path="/"):
        """One request of somebody without a proxy to the pod."""
        with m.Client(PORT, "reviews.demo", address=REVIEWS) as c:
            return c.get(path)
