"""What kubectl does to objects arrives at a real Envoy; kinds, rights and tokens come and go meanwhile."""
import json, time, unittest

import mesh as m
import world as w

SHOP = "outbound|80||shop.default.svc.cluster.local"
CRD_SECONDS = 5     # from a definition being served to pilotd reading its objects
RIGHT_SECONDS = 90  # from a right being given to pilotd noticing: it asks again now and then


def as_list(*objects):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


class Sync(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(w.World())
        cls.world.start()

    def setUp(self):
        self.addCleanup(self.world.proxy.clear)
        self.shop("a")

    def kubectl(self, *args, stdin=None):
        return self.world.cluster.kubectl(*args, stdin=stdin)

    def shop(self, backend):
        """Has the service shop lead to this backend."""
        port = self.world.backend_ports["ab".index(backend)]
        self.world.put(w.slices("shop", [(self.world.address, port)]))
        return self.world.wait_backend(backend)

    def kind(self, name):
        """What pilotd says of how it follows a kind of Istio's."""
        return next(k for k in self.world.pilotd.get("/debug/kubernetesz")["kinds"]
                    if k["kind"] == name and k["group"].endswith("istio.io"))

    def follows(self):
        """A change still arrives."""
        self.shop("b")
        self.shop("a")

    def test_created_changed_deleted(self):
        world, host = self.world, "second.example"
        self.kubectl("apply", "-f", "-", stdin=as_list(
            w.service("second"), w.slices("second", [(world.address, world.backend_ports[1])]),
            w.virtual_service("second", "second.default.svc.cluster.local", host)))
        world.wait_backend("b", host)
        self.kubectl("patch", "virtualservice", "second", "--type=json", "-p", json.dumps([
            {"op": "replace", "path": "/spec/http/0/route/0/destination/host", "value": "shop.default.svc.cluster.local"}]))
        world.wait_backend("a", host)
        self.kubectl("delete", "virtualservice", "second")
        world.wait_backend(404, host)
        self.kubectl("delete", "service", "second")
        m.eventually(lambda: "second.default" not in str(world.envoy.dump("dynamic_active_clusters")), why="the cluster to go")
        self.assertEqual(world.who(), "a")

    def test_endpoints_at_once(self):
        times = sorted(self.shop(backend) for backend in "babababa")
        print(f"  endpoint change to answer of the other backend: {1000 * times[len(times) // 2]:.0f} ms median", flush=True)
        self.assertLess(times[len(times) // 2], 1)

    def test_pods_by_the_endpoint_controller(self):
        """Pods → EndpointSlices of the controller manager → Envoy."""
        world = self.world
        address = {"pod-1": "10.88.0.1", "pod-2": "10.88.0.2"}
        cluster = "outbound|80||pods.default.svc.cluster.local"
        world.put(w.thing("Node", "node-1", labels={"topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": "z1"}))
        world.api.status(w.path_of("Node", name="node-1"), {"conditions": [{"type": "Ready", "status": "True"}]})
        world.put(w.service("pods", selector={"app": "pods"}))
        world.put(w.virtual_service("pods", "pods.default.svc.cluster.local", "pods.example"))

        def ready(pod, yes=True):
            world.api.status(w.path_of("Pod", "default", pod), {
                "phase": "Running", "podIP": address[pod], "podIPs": [{"ip": address[pod]}],
                "conditions": [{"type": "Ready", "status": "True" if yes else "False"}]})
        for pod in address:
            world.put(w.thing("Pod", pod, labels={"app": "pods"}, spec={
                "nodeName": "node-1", "containers": [{"name": "c", "image": "none"}]}))
            ready(pod)
        m.eventually(lambda: world.endpoints(cluster) == {"10.88.0.1:8080": "HEALTHY", "10.88.0.2:8080": "HEALTHY"})
        self.assertEqual({(h["locality"]["region"], h["locality"]["zone"]) for h in world.hosts(cluster)}, {("r1", "z1")})
        ready("pod-2", False)
        m.eventually(lambda: world.endpoints(cluster).get("10.88.0.2:8080") != "HEALTHY", why="a pod that is not ready")
        world.drop("Pod", "pod-1")
        m.eventually(lambda: "10.88.0.1:8080" not in world.endpoints(cluster), why="a pod that is gone")
        for kind, name in (("Pod", "pod-2"), ("VirtualService", "pods"), ("Service", "pods"), ("Node", "node-1")):
            world.drop(kind, name)

    def test_right_taken_and_given_back(self):
        """Without the right to VirtualServices everything else goes on; with it again they are followed again."""
        world = self.world
        role = json.loads(self.kubectl("get", "clusterrole", "pilotd", "-o", "json"))
        lessened = [{**r, "resources": ["gateways", "destinationrules", "serviceentries", "sidecars", "workloadentries"]}
                    if r["resources"] == ["*"] and "networking.istio.io" in r["apiGroups"] else r for r in role["rules"]]
        self.assertNotEqual(role["rules"], lessened)

        def set_rules(rules):
            self.kubectl("patch", "clusterrole", "pilotd", "--type=json", "-p",
                         json.dumps([{"op": "replace", "path": "/rules", "value": rules}]))
        self.addCleanup(set_rules, role["rules"])
        set_rules(lessened)
        self.assertGreater(world.proxy.cut("watch=.*"), 5)  # a watch that runs keeps its right
        m.eventually(lambda: self.kind("VirtualService")["phase"] == "Forbidden", why="the lack being seen")
        self.follows()
        self.assertEqual(world.who(), "a")  # what was known stays
        world.put(w.virtual_service("unseen", "shop.default.svc.cluster.local", "unseen.example"))
        self.follows()
        self.assertEqual(world.who("unseen.example"), 404)
        self.assertIn("cannot watch resource", self.kind("VirtualService")["error"])
        said = [line for line in world.pilotd.tail(1 << 20).splitlines() if "forbidden" in line and "virtualservices" in line]
        self.assertEqual(len(said), 1, said)
        set_rules(role["rules"])
        took = world.wait_backend("a", "unseen.example", RIGHT_SECONDS)
        print(f"  right given back: followed after {took:.1f} s", flush=True)
        world.drop("VirtualService", "unseen")

    def test_token_rotated(self):
        """The old token ends with its Secret; the file has a new one by then."""
        world = self.world
        secret, token = world.new_token()  # in the file from now on
        world.proxy.cut()
        self.follows()  # uses it
        world.new_token()
        world.drop("Secret", secret, "istio-system")
        old = world.cluster.api(token)
        with self.assertRaisesRegex(m.Failed, ": 401 "):
            for _ in range(100):  # the API server remembers tokens for ten seconds
                old.items(w.path_of("Service"))
                time.sleep(0.2)
        for _ in range(3):
            world.proxy.cut()
            self.follows()
        fresh = world.fresh_pilotd()
        self.addCleanup(fresh.stop)
        m.eventually(lambda: w.difference(w.versions(world.pilotd), w.versions(fresh)) == "", why="the state of a fresh pilotd")


class LateKinds(unittest.TestCase):
    """pilotd starts on an API server that knows none of Istio's kinds."""

    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(w.World(crds=False, proxied=False))

    def test_definitions_come_and_go(self):
        world = self.world
        pilotd = world.start_pilotd()
        self.assertEqual(pilotd.get("/debug/configz"), [])
        envoy = world.start_envoy()
        world.cluster.install_crds()
        installed = time.monotonic()
        world.put(w.gateway(world.front_port), w.service("shop"), w.slices("shop", [(world.address, world.backend_ports[0])]),
                  w.virtual_service("shop", "shop.default.svc.cluster.local"))
        world.wait_backend("a", seconds=CRD_SECONDS)
        print(f"  objects of new kinds in force {time.monotonic() - installed:.1f} s after their definitions", flush=True)

        world.cluster.kubectl("delete", "crd", "virtualservices.networking.istio.io")
        world.wait_backend(404, seconds=CRD_SECONDS)
        self.assertEqual([o["kind"] for o in pilotd.get("/debug/configz")], ["Gateway"])
        world.cluster.install_crds()
        world.put(w.virtual_service("shop", "shop.default.svc.cluster.local"))
        world.wait_backend("a", seconds=CRD_SECONDS)
        self.version_withdrawn()
        self.assertTrue(envoy.alive())

    def version_withdrawn(self):
        """v1 is served no longer; what is written as v1beta1 counts."""
        world = self.world
        world.put(w.service("other"), w.slices("other", [(world.address, world.backend_ports[1])]))
        world.cluster.kubectl("patch", "crd", "virtualservices.networking.istio.io", "--type=json", "-p",
                              json.dumps([{"op": "replace", "path": "/spec/versions/0/served", "value": False}]))
        path = w.path_of("VirtualService")

        def withdrawn():
            try:
                world.api.items(path)
            except m.Failed as e:
                return ": 404 " in str(e)
        m.eventually(withdrawn, why="v1 being served no longer")
        self.assertEqual(world.who(), "a")
        o = {**w.virtual_service("shop", "other.default.svc.cluster.local"), "apiVersion": "networking.istio.io/v1beta1"}
        world.api.apply(path.replace("/v1/", "/v1beta1/"), o)
        world.wait_backend("b", seconds=CRD_SECONDS)


if __name__ == "__main__":
    unittest.main()
