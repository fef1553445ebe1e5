"""A client of pilotd's ports that is whoever it wants to be: streams and certificates with any token or certificate."""
import base64
import json
import os
import re
import tempfile
import threading

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import struct_pb2

from tokens import openssl

CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


class Caller:
    """One connection with these credentials."""

    def __init__(self, address, ca=None, token=None, cert=None, key=None):
        """`ca`: file with pilotd's own CA; None = plaintext."""
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        if not ca:
            self.channel = grpc.insecure_channel(address)
            return
        with open(ca) as f:
            root = base64.b64decode(json.load(f)["data"]["ca-cert.pem"])
        creds = grpc.ssl_channel_credentials(root, key, cert)
        self.channel = grpc.secure_channel(address, creds, [
            ("grpc.ssl_target_name_override", "istiod.istio-system.svc"), ("grpc.use_local_subchannel_pool", 1)])

    def stream(self, namespace="a", account=None):
        """CDS of a node of this namespace: "OK", or the status and its text."""
        request = discovery_pb2.DiscoveryRequest(type_url=CDS)
        request.node.id = f"sidecar~10.0.0.1~x.{namespace}~{namespace}.svc.cluster.local"
        request.node.metadata["NAMESPACE"] = namespace
        if account:
            request.node.metadata["SERVICE_ACCOUNT"] = account
        call = self.channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=discovery_pb2.DiscoveryResponse.FromString)
        answered = threading.Event()

        def requests():  # the end of what we say is the end of the stream
            yield request
            answered.wait(20)
        responses = call(requests(), metadata=self.metadata, timeout=20)
        try:
            return "OK" if next(responses).type_url == CDS else "an answer of another type"
        except grpc.RpcError as e:
            return f"{e.code().name}: {e.details()}"
        except StopIteration:
            return "ended"
        finally:
            answered.set()

    def certificate(self, wanted=None):
        """(chain, key) as PEM, or the status and its text. `wanted`: for this identity instead of our own."""
        with tempfile.TemporaryDirectory() as tmp:
            path = os.path.join(tmp, "key")
            csr = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/",
                          "-keyout", path)
            with open(path, "rb") as f:
                key = f.read()
        call = self.channel.unary_unary("/istio.v1.auth.IstioCertificateService/CreateCertificate")
        try:
            response = call(b"\x0a" + varint(len(csr)) + csr + impersonation(wanted), metadata=self.metadata, timeout=20)
        except grpc.RpcError as e:
            return f"{e.code().name}: {e.details()}"
        return b"".join(strings(response)[:-1]), key


def impersonation(wanted):
    """Field 4 of a request, a Struct with ImpersonatedIdentity."""
    if not wanted:
        return b""
    struct = struct_pb2.Struct(fields={"ImpersonatedIdentity": struct_pb2.Value(string_value=wanted)}).SerializeToString()
    return b"\x22" + varint(len(struct)) + struct


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def strings(message):
    """The values of field 1, each a string."""
    out, at = [], 0
    while at < len(message):
        assert message[at] == 10
        at, n, shift = at + 1, 0, 0
        while True:
            n |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                break
        out.append(message[at:at + n])
        at += n
    return out


def names(chain):
    """URIs of a certificate's SAN."""
    text = openssl("x509", "-noout", "-ext", "subjectAltName", text=chain).decode()
    return re.findall(r"URI:(\S+)", text)
