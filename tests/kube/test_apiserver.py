"""The API server that the other suites rely on, and what pilotd brings to it: definitions and rights."""
import json, os, unittest

import cluster as c
import mesh as m

ISTIO = ("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io")
RBAC = os.path.join(c.KUBE, "examples", "pilotd-rbac.yaml")
ACCOUNT = "system:serviceaccount:istio-system:istiod"


class ApiServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(c.Cluster())
        cls.cluster.install_crds()
        cls.cluster.kubectl("apply", "-f", RBAC)

    def raw(self, path):
        return json.loads(self.cluster.kubectl("get", "--raw", path))

    def served(self, group):
        """[(version, resource)] of an API group, oldest version last."""
        versions = [v["version"] for v in self.raw(f"/apis/{group}")["versions"]]
        return [(v, r) for v in versions for r in self.raw(f"/apis/{group}/{v}")["resources"] if "/" not in r["name"]]

    def test_every_istio_kind_is_stored_as_written(self):
        resources, written = {}, []
        for group in ISTIO:
            for version, resource in self.served(group):
                self.assertTrue(resource["namespaced"])
                resources.setdefault(resource["kind"], f"/apis/{group}/{version}/namespaces/default/{resource['name']}")
                written.append({"apiVersion": f"{group}/{version}", "kind": resource["kind"],
                                "metadata": {"name": f"written-{version}", "namespace": "default"},
                                "spec": {"any": {"depth": [1, {"is": "kept"}]}, "version": version}})
        self.assertEqual(len(resources), 15)
        self.cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": written}))
        for kind, path in resources.items():
            stored = {o["metadata"]["name"]: o["spec"] for o in self.raw(path)["items"]}
            for o in written:
                if o["kind"] == kind:
                    self.assertEqual(stored[o["metadata"]["name"]], o["spec"])

    def test_status_is_apart(self):
        self.cluster.apply(json.dumps({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {
            "name": "status", "namespace": "default"}, "spec": {"hosts": ["a"]}, "status": {"forged": True}}))
        got = self.cluster.get("vs", "status", "-n", "default")
        self.assertNotIn("status", got)
        self.cluster.patch_status("vs", "status", "default", {"conditions": [{"type": "Reconciled", "status": "True"}]})
        patched = self.cluster.get("vs", "status", "-n", "default")
        self.assertEqual(patched["status"]["conditions"][0]["type"], "Reconciled")
        self.assertEqual(patched["metadata"]["generation"], got["metadata"]["generation"])

    def test_gateway_api(self):
        self.assertIn("Gateway API v1.6.3 experimental", self.cluster.script("crds.sh", "experimental"))
        kinds = {r["kind"] for _, r in self.served("gateway.networking.k8s.io")}
        self.assertLessEqual({"GatewayClass", "Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "ListenerSet",
                              "BackendTLSPolicy", "ReferenceGrant"}, kinds)

    def test_rights_of_pilotd(self):
        def review(verb, resource):
            name, _, group = resource.partition(".")
            return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                    "spec": {"user": ACCOUNT, "resourceAttributes": {"verb": verb, "group": group, "resource": name}}}
        read = ("services", "pods", "nodes", "namespaces", "secrets", "configmaps", "endpointslices.discovery.k8s.io",
                "virtualservices.networking.istio.io", "telemetries.telemetry.istio.io",
                "httproutes.gateway.networking.k8s.io", "customresourcedefinitions.apiextensions.k8s.io")
        expected = [(verb, r, verb != "delete") for r in read for verb in ("list", "watch", "delete")]
        expected += [("create", "tokenreviews.authentication.k8s.io", True), ("update", "leases.coordination.k8s.io", True),
                     ("create", "pods", False)]
        reviews = {"apiVersion": "v1", "kind": "List", "items": [review(verb, r) for verb, r, _ in expected]}
        answer = self.cluster.kubectl("create", "-o", "jsonpath={.status.allowed}{' '}", "-f", "-", stdin=json.dumps(reviews))
        self.assertEqual([(verb, r, said == "true") for (verb, r, _), said in zip(expected, answer.split(), strict=True)], expected)

    def test_tokens(self):
        token = self.cluster.token("istio-system", "istiod", "--audience", "istio-ca")
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": ["istio-ca"]}}
        status = json.loads(self.cluster.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review)))["status"]
        self.assertTrue(status["authenticated"])
        self.assertEqual(status["user"]["username"], ACCOUNT)

    def test_killed_and_started_again(self):
        self.cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        before = self.cluster.get("configmap", "kept")
        self.cluster.kill("apiserver")
        with self.assertRaises(m.Failed):
            self.cluster.kubectl("get", "namespaces")
        self.cluster.restart()
        self.assertEqual(self.cluster.get("configmap", "kept")["metadata"]["uid"], before["metadata"]["uid"])

    def test_compaction_makes_old_versions_go(self):
        old = self.raw("/api/v1/configmaps")["metadata"]["resourceVersion"]
        self.cluster.kubectl("create", "configmap", "newer")
        self.assertGreater(self.cluster.compact(), int(old))
        # A new API server has no cache of what was before it.
        self.cluster.kill("apiserver")
        self.cluster.restart()
        with self.assertRaisesRegex(m.Failed, "too old resource version|required revision has been compacted|Expired"):
            self.raw(f"/api/v1/configmaps?resourceVersion={old}&resourceVersionMatch=Exact")


if __name__ == "__main__":
    unittest.main()
