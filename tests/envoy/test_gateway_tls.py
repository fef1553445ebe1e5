"""A gateway that ends TLS for two hosts, with certificates from Secrets over SDS."""
import base64, contextlib, os, socket, ssl, unittest

import mesh as m
import mtls
import netns
from tokens import openssl

PROTOCOL = os.environ.get("PROTOCOL", "delta")
ADDRESS, PORT = "10.77.0.4", 8443
ROUTES = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: demo}
spec:
  hosts: ["*"]
  gateways: ["front"]
  http:
  - route:
    - destination: {host: reviews, port: {number: 8000}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: demo}
spec:
  selector: {app: front}
  servers:
"""
SERVER = """  - port: {number: 8443, name: https-%(name)s, protocol: HTTPS}
    hosts: ["%(name)s.example"]
    tls: {mode: SIMPLE, credentialName: "%(credential)s"}
"""
GRANT = """apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: front, namespace: vault}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: demo}]
  to: [{group: "", kind: Secret, name: c}]
"""


def gateway(**credentials):
    return ROUTES + "".join(SERVER % {"name": n, "credential": c} for n, c in credentials.items())


class GatewayCertificates(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.world = self.stack.enter_context(mtls.World())
        self.world.start(PROTOCOL)
        netns.add("front", ADDRESS)

    def start(self):
        self.front = mtls.Proxy(self.world, "front", ADDRESS, PROTOCOL, kind="router")
        self.stack.callback(self.front.stop)
        self.front.wait_ready()

    def certificate(self, ns, name):
        """A new key pair into the Secret of that name. Returns the certificate."""
        key, cert = self.world.path("tls.key"), self.world.path("tls.crt")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                "-days", "2", "-subj", f"/CN={name}.example", "-addext", f"subjectAltName=DNS:{name}.example")
        data = {k: base64.b64encode(open(p, "rb").read()).decode() for k, p in (("tls.crt", cert), ("tls.key", key))}
        self.world.write(f"secret-{ns}-{name}.yaml", f"""apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {ns}}}
type: kubernetes.io/tls
data: {{tls.crt: {data["tls.crt"]}, tls.key: {data["tls.key"]}}}
""")
        return ssl.PEM_cert_to_DER_cert(open(cert).read())

    def shown(self, name):
        """The certificate that the gateway shows for a host, after a request was answered by the workload behind it."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((ADDRESS, PORT), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=f"{name}.example") as tls:
                tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}.example\r\nConnection: close\r\n\r\n".encode())
                answer = tls.recv(12)
                self.assertEqual(answer, b"HTTP/1.1 200")
                return tls.getpeercert(binary_form=True)

    def expect(self, name, certificate):
        def same():
            try:
                return self.shown(name) == certificate
            except (OSError, AssertionError):
                return False
        m.eventually(same, why=f"the certificate of {name}")

    def test_two_hosts_replaced_live(self):
        a, b = self.certificate("demo", "a"), self.certificate("demo", "b")
        self.world.write("front.yaml", gateway(a="a", b="b"))
        self.start()
        self.expect("a", a)
        self.expect("b", b)
        newer = self.certificate("demo", "a")
        self.assertNotEqual(newer, a)
        self.expect("a", newer)
        self.assertEqual(self.shown("b"), b)

    def test_other_namespace_needs_a_grant(self):
        a, c = self.certificate("demo", "a"), self.certificate("vault", "c")
        self.world.write("front.yaml", gateway(a="a", c="kubernetes-gateway://vault/c", d="kubernetes://vault/c"))
        self.start()
        self.front.wait_for(lambda: "kubernetes-gateway://vault/c is not given" in self.world.pilotd.tail(100000))
        self.front.wait_for(lambda: "kubernetes://vault/c is not given" in self.world.pilotd.tail(100000))
        for name in ("c", "d"):
            with self.assertRaises(OSError):
                self.shown(name)
        self.world.write("grant.yaml", GRANT)
        self.world.write("front.yaml", gateway(a="a", c="kubernetes-gateway://vault/c"))
        self.expect("c", c)
        self.expect("a", a)
        self.world.write("grant.yaml", None)  # what Envoy has it keeps; a proxy that comes now gets nothing
        self.assertNotIn("BEGIN", self.world.pilotd.tail(1000000))


if __name__ == "__main__":
    unittest.main(verbosity=2)
