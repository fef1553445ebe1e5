"""What the tests with a real Envoy share. PROTOCOL in the environment: delta or sotw."""
import os, sys, threading, time, unittest, uuid

import mesh as m

PROTOCOL = os.environ.get("PROTOCOL", "delta")
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


class MeshCase(unittest.TestCase):
    """One mesh with a gateway for all tests of the class; each test puts the configuration back at its end."""
    mesh_config = "{}\n"

    @classmethod
    def setUpClass(cls):
        cls.mesh = cls.enterClassContext(m.Mesh(cls.mesh_config))
        cls.mesh.start(PROTOCOL)
        cls.original = {name: cls.mesh.read(name) for name in os.listdir(cls.mesh.config)}
        cls.mesh.wait_answers()

    def setUp(self):
        self.front, self.api = self.mesh.front(), self.mesh.api()
        self.addCleanup(self.restore)
        self.addCleanup(self.front.close)
        self.addCleanup(self.api.close)

    def restore(self):
        changed = False
        for name in os.listdir(self.mesh.config):
            if name not in self.original:
                self.mesh.remove(name)
                changed = True
        for name, text in self.original.items():
            if not os.path.exists(self.mesh.path(name)) or self.mesh.read(name) != text:
                self.mesh.write(name, text)
                changed = True
        if changed:
            self.settle()

    def settle(self):
        """Until pilotd has read its files and the gateway has acknowledged what came of it."""
        marker = f"marker-{uuid.uuid4().hex}"
        self.mesh.write("zz-marker.yaml", MARKER % marker)
        m.eventually(lambda: marker in str(self.mesh.envoy.routes()), why="the gateway getting what was written last")
        self.mesh.wait_synced()

    def tell(self, what):
        print(f"  {what}", file=sys.stderr, flush=True)


# A change that is seen in the gateway's routes, and disturbs nothing.
MARKER = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: zz-marker, namespace: bookshop}
spec:
  hosts: ["bookshop.example"]
  gateways: ["front"]
  http:
  - name: %s
    match:
    - uri: {exact: /nobody-asks-for-this}
    route:
    - destination: {host: shop}
"""


class Traffic:
    """Requests without pause, on a thread, in a `with` block; then `answers`: {backend or status or error: count}."""

    def __init__(self, client, path="/reviews", pause=0.001):
        self.client, self.path, self.pause = client, path, pause
        self.answers, self.stopping = {}, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopping.is_set():
            try:
                a = self.client.get(self.path)
                who = a.backend if a.status == 200 else f"{a.status} {a.body[:100]}"
            except Exception as e:  # whatever goes wrong is counted
                who = repr(e)
            self.answers[who] = self.answers.get(who, 0) + 1
            time.sleep(self.pause)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(m.PATIENCE)
        self.client.close()

    def count(self):
        return sum(self.answers.values())

    def wait_more(self, n):
        """Until n more requests were answered."""
        until = self.count() + n
        m.eventually(lambda: self.count() >= until, why="traffic going on")
