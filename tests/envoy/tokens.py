"""An OpenID Connect provider in a nutshell: tokens of service accounts, and the rule by which pilotd believes them."""
import base64, json, subprocess, time

ISSUER = "https://issuer.example"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True, capture_output=True, timeout=60).stdout


class Tokens:
    def __init__(self, key_file):
        self.key = key_file
        openssl("genrsa", "-out", key_file, "2048")
        modulus = openssl("rsa", "-in", key_file, "-noout", "-modulus").decode().strip().split("=")[1]
        keys = {"keys": [{"kty": "RSA", "kid": "k", "alg": "RS256", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}]}
        self.jwks = json.dumps(keys)
        self.rule = json.dumps({"issuer": ISSUER, "audiences": ["istio-ca"], "jwks": self.jwks})

    def token(self, namespace, account, audience="istio-ca"):
        now = int(time.time())
        parts = [{"alg": "RS256", "kid": "k"}, {"iss": ISSUER, "aud": audience, "iat": now, "exp": now + 3600,
                                                "sub": f"system:serviceaccount:{namespace}:{account}"}]
        text = ".".join(b64(json.dumps(p).encode()) for p in parts)
        return text + "." + b64(openssl("dgst", "-sha256", "-sign", self.key, data=text.encode()))
