"""Keys, key sets and JSON web tokens for tests, by the openssl command."""
import base64
import hashlib
import hmac
import json
import subprocess


def openssl(*args, text=None):
    return subprocess.run(["openssl", *args], input=text, check=True, capture_output=True, timeout=60).stdout


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    """An RSA key with an id, in a file."""

    def __init__(self, folder, kid):
        self.kid, self.path = kid, f"{folder}/{kid}.key"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)
        modulus = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode().strip().split("=")[1]
        self.jwk = {"kty": "RSA", "kid": kid, "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}
        self.public = openssl("rsa", "-in", self.path, "-pubout")

    def token(self, claims, **header):
        head = {"alg": "RS256", "kid": self.kid, **header}
        signed = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
        if head["alg"] == "none":
            signature = b""
        elif head["alg"] == "HS256":
            signature = hmac.new(self.public, signed.encode(), hashlib.sha256).digest()
        else:
            signature = openssl("dgst", "-sha256", "-sign", self.path, text=signed.encode())
        return signed + "." + b64(signature)


def write_key_set(path, *keys):
    with open(path, "w") as f:
        json.dump({"keys": [k.jwk for k in keys]}, f)
