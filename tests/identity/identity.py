#!/usr/bin/env python3
"""identity.py FOLDER: starts pilotd with an OIDC provider in a file and tries what callers may and may not do."""
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import caller  # noqa: E402
from tokens import Key, openssl, write_key_set  # noqa: E402

ISSUER = "https://issuer.example"
SECRET_CLAIM = "this-must-not-be-logged"
tmp = sys.argv[1]
os.chdir(tmp)


def fail(text):
    with open("pilotd.log") as f:
        print("".join(f.readlines()[-30:]))
    sys.exit(f"FAILED: {text}")


def expect(what, got, want):
    if got != want:
        fail(f"{what}: {got}, not {want}")


# ---- pilotd

def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    return [s.getsockname()[1] for s in sockets]


TLS, PLAIN, HTTP, MONITORING = free_ports(4)


def page(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as r:
        return r.read().decode()


def start():
    rule = {"issuer": ISSUER, "jwks_uri": f"file://{tmp}/jwks.json", "audiences": ["istio-ca"]}
    args = ["pilotd", "discovery", "--configDir", "config", "--meshConfig", "mesh", "--caDir", "ca",
            "--httpAddr", f"127.0.0.1:{HTTP}", "--monitoringAddr", f"127.0.0.1:{MONITORING}", "--grpcAddr", f"127.0.0.1:{PLAIN}",
            "--secureGRPCAddr", f"127.0.0.1:{TLS}", "--shutdownDuration", "1s"]
    log = open("pilotd.log", "a")
    process = subprocess.Popen(args, stdout=log, stderr=log, env={**os.environ, "JWT_RULE": json.dumps(rule)})
    for _ in range(200):
        try:
            page(HTTP, "/ready")
            return process
        except OSError:
            time.sleep(0.1)
    fail("not ready")


def stop(process):
    process.terminate()
    expect("exit status", process.wait(20), 0)


# ---- callers

def Caller(token=None, cert=None, key=None, plaintext=False):  # noqa: N802: as the class
    return caller.Caller(f"127.0.0.1:{PLAIN if plaintext else TLS}", None if plaintext else "ca/istio-ca-secret.json", token, cert,
                         key)


def claims(**other):
    now = int(time.time())
    return {"iss": ISSUER, "aud": "istio-ca", "sub": "system:serviceaccount:a:b", "iat": now, "exp": now + 3600,
            "secret": SECRET_CLAIM, **other}


UNAUTHENTICATED = ("UNAUTHENTICATED: authentication failure", "UNAUTHENTICATED: request authenticate failure")


def expect_stranger(what, token):
    c = Caller(token)
    expect(f"stream, {what}", c.stream(), UNAUTHENTICATED[0])
    expect(f"certificate, {what}", c.certificate(), UNAUTHENTICATED[1])


# ---- tests

def check_tokens(key, stranger):
    print("== tokens")
    mine = Caller(key.token(claims()))
    expect("stream", mine.stream(), "OK")
    expect("stream with its account", mine.stream(account="b"), "OK")
    chain, own_key = mine.certificate()
    expect("names", caller.names(chain), ["spiffe://cluster.local/ns/a/sa/b"])
    expect_stranger("no token", None)
    expect_stranger("expired", key.token(claims(exp=int(time.time()) - 100)))
    expect_stranger("not valid yet", key.token(claims(nbf=int(time.time()) + 1000)))
    expect_stranger("another audience", key.token(claims(aud=["someone"])))
    expect_stranger("another issuer", key.token(claims(iss="https://evil.example")))
    expect_stranger("another key", stranger.token(claims(), kid=key.kid))
    expect_stranger("no algorithm", key.token(claims(), alg="none"))
    expect_stranger("HMAC with the public key", key.token(claims(), alg="HS256"))
    expect_stranger("no account", key.token(claims(sub="alice")))
    expect_stranger("not base64", "a!.b.c")
    expect_stranger("large", "x" * 7000)
    huge = Caller("x" * 100000)
    expect("stream, huge", huge.stream().split(":")[0], "RESOURCE_EXHAUSTED")
    return chain, own_key


def check_nodes(key):
    print("== what nodes say of themselves")
    liar = Caller(key.token(claims()))
    mine = "PERMISSION_DENIED: authorization failed: no identities ([spiffe://cluster.local/ns/a/sa/b]) matched "
    expect("another namespace", liar.stream("kube-system"), mine + "kube-system/")
    expect("another account", liar.stream("a", "admin"), mine + "a/admin")
    expect("plaintext", Caller(plaintext=True).stream("kube-system", "admin"), "OK")


def check_certificates(chain, own_key):
    print("== client certificates")
    certified = Caller(cert=chain, key=own_key)
    expect("stream", certified.stream(), "OK")
    expect("another namespace", certified.stream("x").split(":")[0], "PERMISSION_DENIED")
    expect("names", caller.names(certified.certificate()[0]), ["spiffe://cluster.local/ns/a/sa/b"])
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=x", "-days", "1",
            "-addext", "subjectAltName=URI:spiffe://cluster.local/ns/a/sa/b", "-keyout", "foreign.key", "-out",
            "foreign.crt")
    with open("foreign.crt", "rb") as c, open("foreign.key", "rb") as k:
        foreign = Caller(cert=c.read(), key=k.read())
    expect("another CA", foreign.stream().split(":")[0], "UNAVAILABLE")


def write_mesh(text):
    with open("mesh.new", "w") as f:
        f.write(text)
    os.rename("mesh.new", "mesh")


def soon(what, get, want):
    for _ in range(100):
        if get() == want:
            return
        time.sleep(0.1)
    expect(what, get(), want)


def check_trust_domains(chain, own_key):
    print("== trust domains, live")
    write_mesh("trustDomain: other.example\n")
    soon("a certificate of another trust domain", lambda: Caller(cert=chain, key=own_key).stream(), UNAUTHENTICATED[0])
    write_mesh("trustDomain: other.example\ntrustDomainAliases: [cluster.local]\n")
    soon("of an alias", lambda: Caller(cert=chain, key=own_key).stream(), "OK")
    write_mesh("")
    soon("ours again", lambda: Caller(cert=chain, key=own_key).stream(), "OK")


def check_rotation(key, new):
    print("== rotation of the provider's keys")
    write_key_set("jwks.json", new)
    expect("the new key at once", Caller(new.token(claims())).stream(), "OK")
    expect("the old one", Caller(key.token(claims())).stream(), UNAUTHENTICATED[0])


def check_traces(tokens):
    print("== log and metrics")
    metrics = page(MONITORING, "/metrics")
    for reason in ("expired", "not_yet_valid", "audience", "issuer", "signature", "algorithm", "subject", "malformed"):
        if f'pilotd_authentication_refused_total{{authenticator="OIDC",reason="{reason}"}}' not in metrics:
            fail(f"no refusal is counted as {reason}: {metrics}")
    for reason in ("unauthenticated", "identity"):
        if not re.search(rf'pilotd_xds_refused_total{{reason="{reason}"}} [1-9]', metrics):
            fail(f"no stream is counted as {reason}")
    with open("pilotd.log") as f:
        log = f.read()
    for text in ("the token has expired", 'algorithm "none" is not accepted', "matched kube-system/", "not our trust domain"):
        if text not in log:
            fail(f"the log does not say \"{text}\"")
    for token in tokens:
        for part in token.split("."):
            if len(part) > 20 and part in log:
                fail("a token is in the log")
    if SECRET_CLAIM in log:
        fail("a claim is in the log")


def main():
    os.mkdir("config")
    os.mkdir("ca")
    write_mesh("")
    key, stranger, new = (Key(tmp, name) for name in ("k1", "stranger", "k2"))
    write_key_set("jwks.json", key)
    process = start()
    try:
        chain, own_key = check_tokens(key, stranger)
        check_nodes(key)
        check_certificates(chain, own_key)
        check_trust_domains(chain, own_key)
        check_rotation(key, new)
        check_traces([key.token(claims())])
        stop(process)
    finally:
        process.kill()


main()
