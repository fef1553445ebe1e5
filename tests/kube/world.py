"""pilotd on an API server: a cluster, the fault proxy, pilotd behind it with its own account, an Envoy as gateway, backends."""
import http.client, json, os, random, socket, sys, tempfile, threading, time, types

import cluster as c
import mesh as m

RBAC = os.path.join(c.KUBE, "examples", "pilotd-rbac.yaml")
NODE = "sidecar~10.99.0.1~watcher.default~default.svc.cluster.local"
GATEWAY = {"type": "router", "name": "gateway", "namespace": "default", "labels": "istio=front"}
HOST = "shop.example"
MESH = "enableAutoMtls: false\n"  # nobody has certificates here

CORE = "/api/v1/namespaces/{ns}/"
PATHS = {"Service": CORE + "services", "Pod": CORE + "pods", "ConfigMap": CORE + "configmaps", "Secret": CORE + "secrets",
         "ServiceAccount": CORE + "serviceaccounts", "Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes",
         "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices"}
for kind, plural in (("VirtualService", "virtualservices"), ("DestinationRule", "destinationrules"), ("Gateway", "gateways"),
                     ("ServiceEntry", "serviceentries"), ("WorkloadEntry", "workloadentries"), ("Sidecar", "sidecars")):
    PATHS[kind] = "/apis/networking.istio.io/v1/namespaces/{ns}/" + plural


def path_of(kind, ns="default", name=None):
    return PATHS[kind].format(ns=ns) + (f"/{name}" if name else "")


def own_address():
    """An address of this machine that the API server takes for an endpoint: none of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("198.51.100.1", 9))  # sends nothing
            return s.getsockname()[0]
        except OSError:
            pass
    addresses = [a for a in c.run(["hostname", "-I"]).split() if ":" not in a]
    if not addresses:
        raise m.Failed("this machine has no address but 127.0.0.1, which Kubernetes refuses as an endpoint")
    return addresses[0]


# ---- objects

def thing(kind, name, ns="default", api=None, labels=None, **rest):
    api = api or {"EndpointSlice": "discovery.k8s.io/v1"}.get(kind) or ("v1" if PATHS[kind].startswith("/api/") else
                                                                       "networking.istio.io/v1")
    meta = {"name": name, **({} if kind in ("Namespace", "Node") else {"namespace": ns}), **({"labels": labels} if labels else {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def service(name, port=80, ns="default", selector=None, cluster_ip=None):
    spec = {"ports": [{"name": "http", "port": port, "targetPort": 8080}]}
    if selector:
        spec["selector"] = selector
    if cluster_ip:
        spec["clusterIP"] = cluster_ip
    return thing("Service", name, ns, spec=spec)


def slices(name, endpoints, ns="default", suffix="1"):
    """An EndpointSlice of a service, for [(address, port)] with one port."""
    port = endpoints[0][1] if endpoints else 8080
    return thing("EndpointSlice", f"{name}-{suffix}", ns, labels={"kubernetes.io/service-name": name}, addressType="IPv4",
                 ports=[{"name": "http", "port": port, "protocol": "TCP"}],
                 endpoints=[{"addresses": [a], "conditions": {"ready": True}} for a, _ in endpoints])


def gateway(port):
    return thing("Gateway", "front", spec={"selector": {"istio": "front"}, "servers": [
        {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]})


def virtual_service(name, to, host=HOST, gateways=("front",), ns="default", headers=None):
    route = {"route": [{"destination": {"host": to, "port": {"number": 80}}}]}
    if headers:
        route["headers"] = {"response": {"set": headers}}
    return thing("VirtualService", name, ns, spec={"hosts": [host], "gateways": list(gateways), "http": [route]})


def service_entry(name, address, host=None):
    return thing("ServiceEntry", name, spec={"hosts": [host or f"{name}.example"], "location": "MESH_EXTERNAL",
                                              "resolution": "STATIC", "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                                              "endpoints": [{"address": address}]})


class World:
    """Use in a `with` block."""
    agents = False

    def __init__(self, crds=True, proxied=True, mesh_in_cluster=False):
        """mesh_in_cluster: the mesh configuration is the ConfigMap of the cluster, not a file."""
        self.crds, self.proxied = crds, proxied
        self.cluster = c.Cluster()
        self.dir = tempfile.mkdtemp(prefix="world-", dir=os.environ.get("PD_TMP"))
        self.front_port, *self.backend_ports = m.free_ports(3)
        self.pilotd_ports = m.free_ports(3)
        self.children, self.pilotd, self.proxy = [], None, None
        self.mesh_flags = []
        if not mesh_in_cluster:
            self.mesh_flags = ["--meshConfig", os.path.join(self.dir, "mesh.yaml")]
            with open(self.mesh_flags[1], "w") as f:
                f.write(MESH)

    def __enter__(self):
        self.cluster.__enter__()
        try:
            self.prepare()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.pilotd:
                self.pilotd.stop()
        finally:
            for child in reversed(self.children):
                child.stop()
            self.cluster.__exit__()

    def prepare(self):
        self.cluster.kubectl("apply", "-f", RBAC)
        if self.crds:
            self.cluster.install_crds()
        self.api = self.cluster.api()
        self.put_mesh(MESH)
        self.address = own_address()
        self.token_file = os.path.join(self.dir, "token")
        self.new_token()
        if self.proxied:
            self.proxy = c.FaultProxy(self.cluster, self.dir)
            self.children.append(self.proxy)
        self.kubeconfig = self.cluster.write_kubeconfig(
            os.path.join(self.dir, "kubeconfig"), token_file=self.token_file, server=self.proxy and self.proxy.address)
        for name, port in zip(("a", "b"), self.backend_ports):
            b = m.Child("backend", [sys.executable, m.BACKENDS, "--port", str(port), f"{name}={self.address}"],
                        os.path.join(self.dir, f"backend-{name}.log"))
            self.children.append(b)
            b.wait_for(lambda b=b: "ready" in b.tail())

    def new_token(self):
        """Gives pilotd a token that lives as long as a Secret of its own. Returns the Secret's name and the token."""
        name = f"token-{random.randrange(1 << 30)}"
        self.api.apply(path_of("Secret", "istio-system"), thing("Secret", name, "istio-system", type="Opaque"))
        token = self.cluster.token("istio-system", "istiod", "--bound-object-kind", "Secret", "--bound-object-name", name)
        with open(self.token_file + ".new", "w") as f:
            f.write(token)
        os.rename(self.token_file + ".new", self.token_file)
        return name, token

    # ---- programs ----

    def start_pilotd(self):
        self.sources = ["--kubeconfig", self.kubeconfig, *self.mesh_flags]
        self.pilotd = m.Pilotd(self)
        return self.pilotd

    def fresh_pilotd(self):
        """Another pilotd, which reads the same API server, without faults, from the beginning. The caller stops it."""
        direct = self.cluster.write_kubeconfig(os.path.join(self.dir, "direct"), token_file=self.token_file)
        place = os.path.join(self.dir, f"fresh-{random.randrange(1 << 30)}")
        os.mkdir(place)
        return m.Pilotd(types.SimpleNamespace(dir=place, pilotd_ports=m.free_ports(3),
                                              sources=["--kubeconfig", direct, *self.mesh_flags]))

    def start_envoy(self):
        self.envoy = m.Envoy(self, "delta", GATEWAY, "envoy")
        self.children.append(self.envoy)
        return self.envoy.wait_ready()

    def start(self):
        """pilotd and an Envoy through which backend a answers."""
        self.put(gateway(self.front_port), service("shop"), slices("shop", [(self.address, self.backend_ports[0])]),
                 virtual_service("shop", "shop.default.svc.cluster.local"))
        self.start_pilotd()
        self.start_envoy()
        self.wait_backend("a")

    # ---- objects ----

    def put(self, *objects):
        for o in objects:
            self.api.apply(path_of(o["kind"], o["metadata"].get("namespace")), o)

    def drop(self, kind, name, ns="default"):
        now = "?gracePeriodSeconds=0" if kind == "Pod" else ""  # no kubelet is there to end it
        self.api.delete(path_of(kind, ns, name) + now)

    def put_mesh(self, mesh, **others):
        """The ConfigMap with the mesh configuration."""
        self.put(thing("ConfigMap", "istio", "istio-system", data={"mesh": mesh, **others}))

    # ---- what came of it ----

    def client(self, host=HOST):
        return m.Client(self.front_port, host)

    def who(self, host=HOST):
        """The backend that answers a request for the host, or the status."""
        with self.client(host) as client:
            answer = client.get("/")
            return answer.backend or answer.status

    def wait_backend(self, name, host=HOST, seconds=m.PATIENCE):
        """Until this backend (or status) answers. Returns the seconds that took."""
        begin = time.monotonic()
        m.eventually(lambda: self.who(host) == name, seconds, why=f"{host} answered by {name}")
        return time.monotonic() - begin

    def hosts(self, cluster):
        """What the Envoy's admin page says of the endpoints of a cluster."""
        got = json.loads(m.fetch(self.envoy.admin, "/clusters?format=json")).get("cluster_statuses", [])
        return [h for s in got if s["name"] == cluster for h in s.get("host_statuses", [])]

    def endpoints(self, cluster):
        """{"address:port": health}"""
        return {f"{h['address']['socket_address']['address']}:{h['address']['socket_address']['port_value']}":
                h["health_status"].get("eds_health_status") for h in self.hosts(cluster)}


# ---- state: versions of all resources, which are hashes of their content

def versions(pilotd, ports=(80,)):
    """{type: {name: hash}} of all that a sidecar gets from this pilotd."""
    saved = os.path.join(os.path.dirname(pilotd.log), f"versions-{pilotd.grpc}")

    def probe(*wanted):
        c.run(["xds-probe", f"127.0.0.1:{pilotd.grpc}", "delta", "--node", NODE, "--save", saved, *wanted])
        with open(saved) as f:
            lines = (line.split() for line in f)
            return {line[0]: dict(word.rpartition("=")[::2] for word in line[1:]) for line in lines if line}
    names = ",".join(sorted(probe("CDS").get("CDS", {})))
    got = probe("CDS", f"EDS={names}", "LDS", "RDS=" + ",".join(map(str, ports)))
    got["configz"] = {f"{o['kind']} {o['metadata'].get('namespace')}/{o['metadata']['name']}": o["spec"]
                      for o in pilotd.get("/debug/configz")}
    return got


def difference(a, b):
    """What differs of two results of versions(), in words; "" if nothing does."""
    said = []
    for kind in sorted(a.keys() | b.keys()):
        x, y = a.get(kind, {}), b.get(kind, {})
        said += [f"{kind} {name}: {'differs' if name in x and name in y else 'only in the first' if name in x else 'only in the second'}"
                 for name in sorted(x.keys() | y.keys()) if x.get(name) != y.get(name)]
    return "; ".join(said[:20]) + (f"; {len(said)} in all" if len(said) > 20 else "")


class Churn:
    """Changes without pause, on a thread, in a `with` block: objects of all sorts that come, change and go. Seeded."""

    def __init__(self, cluster, seed, pause=0.02, names=25):
        self.api, self.random, self.pause, self.names = cluster.api(), random.Random(seed), pause, names
        self.alive, self.changes, self.error = set(), 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def made(self, kind, name):
        r = self.random
        if kind == "Service":
            return service(name)
        if kind == "EndpointSlice":
            return slices(name, [(f"10.66.{r.randrange(9)}.{r.randrange(1, 250)}", 8080) for _ in range(r.randrange(4))])
        if kind == "ServiceEntry":
            return service_entry(name, f"10.77.{r.randrange(9)}.{r.randrange(1, 250)}")
        if kind == "VirtualService":
            return virtual_service(name, f"{name}.default.svc.cluster.local", f"{name}.default.svc.cluster.local", ("mesh",),
                                   headers={"x-version": str(r.randrange(1000))})
        return thing("DestinationRule", name, spec={"host": f"{name}.default.svc.cluster.local", "trafficPolicy": {
            "connectionPool": {"tcp": {"maxConnections": r.randrange(1, 1000)}}}})

    def step(self):
        kind = self.random.choice(("Service", "EndpointSlice", "EndpointSlice", "ServiceEntry", "VirtualService", "DestinationRule"))
        name = f"churn-{self.random.randrange(self.names)}"
        stored = name + "-1" if kind == "EndpointSlice" else name
        if (kind, stored) in self.alive and self.random.random() < 0.4:
            self.api.delete(path_of(kind, "default", stored))
            self.alive.discard((kind, stored))
        else:
            self.api.apply(path_of(kind), self.made(kind, name))
            self.alive.add((kind, stored))
        self.changes += 1

    def run(self):
        while not self.stopping.is_set():
            try:
                self.step()
            except (OSError, http.client.HTTPException, m.Failed) as e:
                self.error = self.error or e
                return
            time.sleep(self.pause)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.thread.join(m.PATIENCE)
        self.api.close()
        if self.error and kind is None:
            raise m.Failed(f"changes stopped after {self.changes}: {self.error}")
