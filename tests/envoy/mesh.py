"""A small mesh on the loopback interface: pilotd on a copy of examples/bookshop, backends, stock Envoys, and a client.

For the demo and the suites. Ports are free ones; every process is a child that ends with its parent, however that ends.
Finds pilotd, pilotctl and envoy in PATH, as scripts/run_suites.sh sets it.
"""
import ctypes, http.client, json, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, time
import urllib.error, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(ROOT, "examples", "bookshop")
BACKENDS = os.path.join(ROOT, "examples", "backends.py")
AGENT = os.path.join(ROOT, "tests", "envoy", "agent.py")
PATIENCE = 30  # seconds that anything may take before it counts as failed
GATEWAY = {"type": "router", "name": "gateway", "namespace": "bookshop",
           "labels": "istio=bookshop-gateway,gateway.networking.k8s.io/gateway-name=api"}


class Failed(Exception):
    pass


def free_ports(n, lowest=15000, highest=32000):
    """Ports that are free on every address. Below the range from which the system takes its own for connections."""
    ports = []
    for _ in range(1000):
        port = random.randrange(lowest, highest)
        with socket.socket() as s:
            try:
                s.bind(("0.0.0.0", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
        if len(ports) == n:
            return ports
    raise Failed("no free ports")


def eventually(what, seconds=PATIENCE, pause=0.02, why=""):
    """The first true result of what(). An exception of it counts as false until the time is up."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            got = what()
            if got:
                return got
            last = got
        except (Failed, OSError, http.client.HTTPException, ValueError, AssertionError) as e:
            last = e
        if time.monotonic() > end:
            raise Failed(f"{why or 'what was expected'} did not happen in {seconds} s; last: {last!r}")
        time.sleep(pause)


def fetch(port, path, method="GET", timeout=5):
    """Body of http://127.0.0.1:port/path."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=timeout) as r:
        return r.read().decode()


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Child:
    """A process of ours, with its output in a file."""

    def __init__(self, name, args, log, env=None, cwd=None):
        self.name, self.log = name, log
        with open(log, "a") as out:
            self.proc = subprocess.Popen(args, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd,
                                         env={**os.environ, **(env or {})}, preexec_fn=_die_with_parent)

    def alive(self):
        return self.proc.poll() is None

    def tail(self, n=2000):
        with open(self.log, errors="replace") as f:
            return f.read()[-n:]

    def wait_for(self, what, seconds=PATIENCE):
        def check():
            if not self.alive():
                return "dead"
            return what()
        try:
            if eventually(check, seconds) != "dead":
                return
        except Failed:
            pass
        raise Failed(f"{self.name} did not get ready (exit status {self.proc.poll()}):\n{self.tail()}")

    def stop(self, how=signal.SIGTERM, seconds=15):
        """Ends the process. Returns its exit status."""
        if self.alive():
            self.proc.send_signal(how)
            try:
                self.proc.wait(seconds)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        return self.proc.returncode


class Pilotd(Child):
    def __init__(self, mesh):
        self.grpc, self.http, self.monitoring = mesh.pilotd_ports
        super().__init__("pilotd", ["pilotd", "discovery", *mesh.sources,
                                    "--grpcAddr", f"127.0.0.1:{self.grpc}", "--httpAddr", f"127.0.0.1:{self.http}",
                                    "--monitoringAddr", f"127.0.0.1:{self.monitoring}",
                                    "--secureGRPCAddr=", "--httpsAddr=", "--shutdownDuration", "1s"],
                         os.path.join(mesh.dir, "pilotd.log"))
        try:
            self.wait_for(lambda: fetch(self.http, "/ready") is not None)
        except BaseException:
            super().stop()
            raise

    def stop(self, how=signal.SIGTERM, seconds=30):
        """Ends it; fails if it did not end as it should, or has found a bug of its own (as sanitizers report them)."""
        status = super().stop(how, seconds)
        with open(self.log, errors="replace") as f:
            said = f.read()
        if status not in (0, -signal.SIGKILL) or any(s in said for s in ("Sanitizer", "runtime error:", "assertion failed")):
            raise Failed(f"pilotd ended with {status}:\n{said[-4000:]}")
        return status

    def get(self, path):
        return json.loads(fetch(self.http, path))

    def client(self, name):
        """The entry of /debug/syncz of the proxy NAME.NAMESPACE, or None."""
        return next((c for c in self.get("/debug/syncz") if c["proxy"] == name), None)

    def synced(self, name, but=()):
        """True if the proxy has acknowledged all that it was sent (of types that are not in `but`)."""
        c = self.client(name)
        return bool(c) and bool(c["resources"]) and all(r["sent"] == r["acked"] for t, r in c["resources"].items()
                                                        if t not in but)

    def metrics(self, name):
        """Values of a metric: {labels as text: number}."""
        got = re.findall(rf"^{name}(?:\{{(.*?)\}})? (\S+)$", fetch(self.monitoring, "/metrics"), re.M)
        return {labels: float(value) for labels, value in got}


class Envoy(Child):
    """A stock Envoy with the bootstrap that pilotctl prints."""

    def __init__(self, mesh, protocol, node, name="envoy"):
        self.admin, = free_ports(1)
        args = ["pilotctl", "bootstrap", "--xds", f"127.0.0.1:{mesh.pilotd_ports[0]}", "--protocol", protocol,
                "--admin", str(self.admin)]
        if mesh.agents:
            args += ["--sds", mesh.agent(node.get("account", node["name"]))]
        for key, value in node.items():
            if key != "account":
                args += ["--" + key, value]
        self.proxy = f"{node['name']}.{node['namespace']}"
        self.bootstrap = os.path.join(mesh.dir, name + ".json")
        with open(self.bootstrap, "w") as f:
            subprocess.run(args, stdout=f, check=True, timeout=30)
        super().__init__("envoy", ["envoy", "-c", self.bootstrap, "--disable-hot-restart", "--concurrency", "1",
                                   "-l", "warning"], os.path.join(mesh.dir, name + ".log"), cwd=mesh.dir)

    def wait_ready(self):
        """Until it has its first configuration (also if that is empty)."""
        self.wait_for(lambda: fetch(self.admin, "/ready").strip() == "LIVE")
        return self

    def stat(self, name):
        """Value of one counter or gauge; None if there is none."""
        got = json.loads(fetch(self.admin, f"/stats?format=json&filter=^{re.escape(name)}$"))["stats"]
        return got[0]["value"] if got else None

    def stats(self, pattern):
        got = json.loads(fetch(self.admin, f"/stats?format=json&filter={pattern}"))["stats"]
        return {s["name"]: s["value"] for s in got if "value" in s}

    def dump(self, resource):
        """One list of the config dump, as dynamic_listeners or dynamic_active_clusters."""
        return json.loads(fetch(self.admin, f"/config_dump?resource={resource}")).get("configs", [])

    def routes(self):
        return {r["route_config"]["name"]: r["route_config"] for r in self.dump("dynamic_route_configs")}


class Answer:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = {}
        self.backend = headers.get("x-backend")

    def __repr__(self):
        return f"<{self.status} {self.backend} {self.body[:200]!r} {self.headers}>"


class Client:
    """An HTTP client on one connection, which is opened again when it was closed."""

    def __init__(self, port, host, timeout=10, address="127.0.0.1"):
        self.host = host
        self.connection = http.client.HTTPConnection(address, port, timeout=timeout)

    def get(self, path, headers=None, method="GET"):
        start = time.monotonic()
        try:
            self.connection.request(method, path, headers={"host": self.host, **(headers or {})})
            r = self.connection.getresponse()
            body = r.read()
        except BaseException:
            self.connection.close()
            raise
        return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, body.decode(errors="replace"),
                      time.monotonic() - start)

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Mesh:
    """Use in a `with` block: at its end everything is stopped, and the folder is gone unless something failed (or PD_TMP
    is set: that is the suites' own folder).

    agents: each Envoy gets its certificate from an agent of ours. Otherwise mesh_config must turn automatic TLS off.
    """

    def __init__(self, mesh_config="{}\n", agents=True):
        self.pilotd = None
        self.children = []
        self.agents, self.agent_sockets = agents, {}
        self.dir = tempfile.mkdtemp(prefix="mesh-", dir=os.environ.get("PD_TMP"))
        self.config = os.path.join(self.dir, "config")
        self.mesh_file = os.path.join(self.dir, "mesh.yaml")
        self.sources = ["--configDir", self.config, "--meshConfig", self.mesh_file]
        self.backend_port, self.front_port, self.api_port, *self.pilotd_ports = free_ports(6)
        with open(self.mesh_file, "w") as f:
            f.write(mesh_config)
        os.mkdir(self.config)
        for name in os.listdir(EXAMPLE):
            with open(os.path.join(EXAMPLE, name)) as f:
                self.write(name, self.with_free_ports(f.read()))

    def with_free_ports(self, text):
        for written, free in (("9080", self.backend_port), ("8080", self.front_port), ("8081", self.api_port)):
            text = re.sub(rf"\b{written}\b", str(free), text)
        return text

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, kind, *_):
        try:
            if self.pilotd:
                self.pilotd.stop()
        finally:
            for child in reversed(self.children):
                child.stop()
        if not os.environ.get("PD_TMP") and (kind is None or issubclass(kind, KeyboardInterrupt)):
            shutil.rmtree(self.dir, ignore_errors=True)
        return False

    # ---- processes ----

    def start_backends(self):
        def add(args, log):
            b = Child("backends", [sys.executable, BACKENDS, *args], os.path.join(self.dir, log))
            self.children.append(b)
            b.wait_for(lambda: "ready" in b.tail())
        add(["--port", str(self.backend_port)], "backends.log")

    def agent(self, account):
        """The socket, from the mesh's folder, of the agent with this service account's certificate."""
        if account not in self.agent_sockets:
            socket_name = f"./{account}.sock"
            a = Child("agent", [sys.executable, AGENT, ".", socket_name, f"spiffe://cluster.local/ns/bookshop/sa/{account}"],
                      os.path.join(self.dir, account + "-agent.log"), cwd=self.dir)
            self.children.append(a)
            a.wait_for(lambda: "ready" in a.tail())
            self.agent_sockets[account] = socket_name
        return self.agent_sockets[account]

    def start_pilotd(self):
        self.pilotd = Pilotd(self)
        return self.pilotd

    def start_envoy(self, protocol="delta", node=GATEWAY, name="envoy"):
        e = Envoy(self, protocol, node, name)
        self.children.append(e)
        return e.wait_ready()

    def start(self, protocol="delta"):
        """Everything, with one gateway."""
        self.start_backends()
        self.start_pilotd()
        self.envoy = self.start_envoy(protocol)
        self.wait_synced()
        return self

    def wait_synced(self, proxy="gateway.bookshop", but=()):
        eventually(lambda: self.pilotd.synced(proxy, but), why=f"{proxy} acknowledging everything")

    # ---- requests ----

    def front(self):
        """A client of the Istio Gateway."""
        return Client(self.front_port, "bookshop.example")

    def api(self):
        """A client of the Gateway API Gateway."""
        return Client(self.api_port, "api.bookshop.example")

    def wait_answers(self):
        """Until a request through the Istio Gateway is answered."""
        with self.front() as c:
            eventually(lambda: c.get("/").status == 200, why="a first answer through the gateway")

    def seen(self, address, key):
        """What the backend on this address saw of the requests with this key."""
        with Client(self.backend_port, "backend", address=address) as c:
            return c.get(f"/_seen?key={key}").json

    # ---- configuration ----

    def path(self, name):
        return os.path.join(self.config, name)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def write(self, name, text):
        """As careful programs do: a new file, then a rename."""
        temporary = self.path("." + name + ".new")
        with open(temporary, "w") as f:
            f.write(text)
        os.rename(temporary, self.path(name))

    def edit(self, name, old, new):
        text = self.read(name)
        if text.count(old) != 1:
            raise Failed(f"{name}: {old!r} is there {text.count(old)} times")
        self.write(name, text.replace(old, new))

    def remove(self, name):
        os.unlink(self.path(name))


def set_weights(mesh, v1, v2):
    """How much the two versions of reviews get, in routes.yaml."""
    text, n = re.subn(r"(subset: v1\}\n      weight: )\d+(\n.*\n      weight: )\d+\n", rf"\g<1>{v1}\g<2>{v2}\n",
                      mesh.read("routes.yaml"))
    if n != 1:
        raise Failed("routes.yaml: no weights")
    mesh.write("routes.yaml", text)


def shares(client, path, n):
    """How many of n answers each backend gave."""
    got = {}
    for _ in range(n):
        a = client.get(path)
        who = a.backend if a.status == 200 else str(a.status)
        got[who] = got.get(who, 0) + 1
    return got
