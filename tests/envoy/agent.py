#!/usr/bin/env python3
"""What an istio-agent is to its Envoy: serves the workload's certificate and the mesh's root by SDS, on a Unix socket.

  agent.py FOLDER SOCKET SPIFFE_ID

The root (root.pem, root.key) lies in FOLDER and is made if there is none; agents with the same FOLDER trust each other.
Prints "ready".
"""
import os, subprocess, sys, tempfile
from concurrent import futures

import grpc
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.secret.v3 import sds_pb2_grpc

SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)


def make_root(folder):
    if not os.path.exists(os.path.join(folder, "root.pem")):
        openssl("req", "-x509", *KEY, "-days", "2", "-subj", "/O=test", "-keyout", os.path.join(folder, "root.key"),
                "-out", os.path.join(folder, "root.pem"))


def make_certificate(folder, spiffe):
    """Certificate and key of a workload, as PEM."""
    with tempfile.TemporaryDirectory() as tmp:
        key, request, cert, extensions = (os.path.join(tmp, n) for n in ("key", "csr", "crt", "ext"))
        with open(extensions, "w") as f:
            f.write(f"subjectAltName=critical,URI:{spiffe}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-new", *KEY, "-subj", "/", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", os.path.join(folder, "root.pem"), "-CAkey",
                os.path.join(folder, "root.key"), "-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", cert)
        with open(cert, "rb") as c, open(key, "rb") as k:
            return c.read(), k.read()


class Agent(sds_pb2_grpc.SecretDiscoveryServiceServicer):
    def __init__(self, folder, spiffe):
        cert, key = make_certificate(folder, spiffe)
        own = secret_pb2.Secret(name="default")
        own.tls_certificate.certificate_chain.inline_bytes = cert
        own.tls_certificate.private_key.inline_bytes = key
        root = secret_pb2.Secret(name="ROOTCA")
        with open(os.path.join(folder, "root.pem"), "rb") as f:
            root.validation_context.trusted_ca.inline_bytes = f.read()
        self.secrets = {s.name: s for s in (own, root)}

    def StreamSecrets(self, requests, context):
        for r in requests:
            if not r.response_nonce:  # the rest acknowledges
                answer = discovery_pb2.DiscoveryResponse(version_info="1", nonce="1", type_url=SECRET)
                for name in r.resource_names:
                    if name in self.secrets:
                        answer.resources.add().Pack(self.secrets[name])
                yield answer


def main():
    folder, socket, spiffe = sys.argv[1:]
    make_root(folder)
    # Envoy keeps a stream for each secret, and each takes a thread here.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    sds_pb2_grpc.add_SecretDiscoveryServiceServicer_to_server(Agent(folder, spiffe), server)
    server.add_insecure_port("unix:" + socket)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


main()
