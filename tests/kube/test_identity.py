"""Tokens of service accounts, reviewed by a real API server: certificates and streams for those whose token is meant for us."""
import base64, json, os, socket, subprocess, sys, tempfile, unittest, urllib.request

import mesh as m
from cluster import KUBE, Cluster

sys.path.insert(0, os.path.join(m.ROOT, "tests", "identity"))
from caller import Caller, names  # noqa: E402

REFUSED = "UNAUTHENTICATED: request authenticate failure"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Identity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster())
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.cluster.install_crds()
        with open(os.path.join(KUBE, "examples", "pilotd-rbac.yaml")) as f:
            cls.cluster.apply(f.read())
        cls.cluster.kubectl("create", "namespace", "shop")
        cls.cluster.kubectl("create", "serviceaccount", "cart", "-n", "shop")
        config = os.path.join(cls.folder, "kubeconfig")
        cls.cluster.write_kubeconfig(config, cls.cluster.token("istio-system", "istiod"))
        cls.tls, http = free_port(), free_port()
        cls.log = os.path.join(cls.folder, "pilotd.log")
        cls.command = [
            "pilotd", "discovery", "--kubeconfig", config, "--grpcAddr=", "--monitoringAddr=", "--httpAddr", f"127.0.0.1:{http}",
            "--secureGRPCAddr", f"127.0.0.1:{cls.tls}", "--shutdownDuration", "1s"]
        cls.ready = f"http://127.0.0.1:{http}/ready"
        cls.start()
        cls.addClassCleanup(cls.stop)

    @classmethod
    def start(cls):
        env = {**os.environ, "CA_TRUSTED_NODE_ACCOUNTS": "istio-system/ztunnel"}
        with open(cls.log, "a") as log:
            cls.pilotd = subprocess.Popen(cls.command, stdout=log, stderr=log, cwd=cls.folder, env=env)
        m.eventually(lambda: urllib.request.urlopen(cls.ready, timeout=5).status == 200, why="readiness")

    @classmethod
    def stop(cls):
        cls.pilotd.terminate()
        cls.pilotd.wait(20)

    def secret(self):
        return self.cluster.kubectl("get", "secret", "istio-ca-secret", "-n", "istio-system", "-o", "json")

    def caller(self, token):
        ca = os.path.join(self.folder, "istio-ca-secret.json")
        with open(ca, "w") as f:
            f.write(self.secret())
        return Caller(f"127.0.0.1:{self.tls}", ca, token)

    def token(self, *args):
        return self.cluster.token("shop", "cart", *args)

    def logged(self):
        with open(self.log) as f:
            return f.read()

    def test_token_for_us(self):
        cart = self.caller(self.token("--audience", "istio-ca"))
        self.assertEqual(cart.stream("shop", "cart"), "OK")
        self.assertEqual(names(cart.certificate()[0]), ["spiffe://cluster.local/ns/shop/sa/cart"])
        self.assertEqual(cart.stream("istio-system"), "PERMISSION_DENIED: authorization failed: no identities "
                         "([spiffe://cluster.local/ns/shop/sa/cart]) matched istio-system/")

    def test_key_outlives_pilotd(self):
        """The CA is what it was after a restart, and its Secret is what istiod's is."""
        before = json.loads(self.secret())
        self.stop()
        self.start()
        self.assertEqual(json.loads(self.secret())["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"])
        self.assertEqual(before["type"], "istio.io/ca-root")
        self.assertLessEqual({"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "key.pem", "root-cert.pem"}, set(before["data"]))
        self.assertEqual(self.caller(self.token("--audience", "istio-ca")).stream("shop", "cart"), "OK")
        self.assertNotIn("PRIVATE KEY", self.logged())

    def roots(self, namespace):
        """What a namespace's ConfigMap says, "" if there is none."""
        return self.cluster.kubectl("get", "configmap", "istio-ca-root-cert", "-n", namespace, "--ignore-not-found",
                                    "-o", "jsonpath={.metadata.labels.istio\\.io/config} {.data.root-cert\\.pem}")

    def test_roots_in_namespaces(self):
        """Each namespace has them, a new one too, and gets them back."""
        expected = "true " + base64.b64decode(json.loads(self.secret())["data"]["ca-cert.pem"]).decode()
        self.cluster.kubectl("create", "namespace", "late")
        for namespace in ("shop", "late", "kube-system"):
            m.eventually(lambda n=namespace: self.roots(n) == expected, why=f"the roots in {namespace}", seconds=30)
        self.cluster.kubectl("delete", "configmap", "istio-ca-root-cert", "-n", "late")
        m.eventually(lambda: self.roots("late") == expected, why="the roots that were deleted", seconds=30)
        self.cluster.kubectl("patch", "configmap", "istio-ca-root-cert", "-n", "late", "-p", '{"data":{"root-cert.pem":"x"}}')
        m.eventually(lambda: self.roots("late") == expected, why="the roots that were altered", seconds=30)
        self.assertEqual(self.roots("kube-public"), "")

    def put_pod(self, namespace, name, account, node):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name},
               "spec": {"serviceAccountName": account, "nodeName": node, "containers": [{"name": "c", "image": "none"}]}}
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod))

    def test_node_proxy(self):
        """ztunnel gets the certificates of the pods beside it, and of no others."""
        self.cluster.kubectl("create", "serviceaccount", "ztunnel", "-n", "istio-system")
        self.cluster.kubectl("create", "serviceaccount", "far", "-n", "shop")
        self.put_pod("istio-system", "ztunnel-1", "ztunnel", "node-1")
        self.put_pod("shop", "cart-1", "cart", "node-1")
        self.put_pod("shop", "far-1", "far", "node-2")
        bound = ("--audience", "istio-ca", "--bound-object-kind", "Pod", "--bound-object-name")
        cart, far = "spiffe://cluster.local/ns/shop/sa/cart", "spiffe://cluster.local/ns/shop/sa/far"
        ztunnel = self.caller(self.cluster.token("istio-system", "ztunnel", *bound, "ztunnel-1"))
        m.eventually(lambda: names(ztunnel.certificate(cart)[0]) == [cart], why="a certificate for a pod beside it", seconds=20)
        refused = "UNAUTHENTICATED: request impersonation authentication failure"
        self.assertEqual(ztunnel.certificate(far), refused)
        self.assertIn("no pod of shop/far runs on node node-1", self.logged())
        unbound = self.caller(self.cluster.token("istio-system", "ztunnel", "--audience", "istio-ca"))
        self.assertEqual(unbound.certificate(cart), refused)
        self.assertEqual(self.caller(self.token(*bound, "cart-1")).certificate(cart), refused)

    def test_token_for_others(self):
        token = self.token("--audience", "vault")
        self.assertEqual(self.caller(token).certificate(), REFUSED)
        self.assertEqual(self.caller(token).stream("shop"), "UNAUTHENTICATED: authentication failure")
        self.assertIn("the API server does not accept the token", self.logged())

    def test_forged_token(self):
        good = self.token("--audience", "istio-ca")
        head, claims, signature = good.split(".")
        for token in (f"{head}.{claims}.{signature[::-1]}", f"{head}.{claims}.", "x"):
            self.assertEqual(self.caller(token).certificate(), REFUSED)
        self.assertNotIn(claims, self.logged())

    def test_account_that_is_gone(self):
        self.cluster.kubectl("create", "serviceaccount", "gone", "-n", "shop")
        token = self.cluster.token("shop", "gone", "--audience", "istio-ca")
        self.cluster.kubectl("delete", "serviceaccount", "gone", "-n", "shop")
        self.assertEqual(self.caller(token).certificate(), REFUSED)


if __name__ == "__main__":
    unittest.main()
