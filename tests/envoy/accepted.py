"""Everything that pilotd sends to a stock Envoy is accepted by it.

  accepted.py --shared DIR --build DIR --out DIR [SCENARIO...]

The nodes of the recorded scenarios connect again, this time with the list of extensions that a stock Envoy announces
(asked of one at the start); what they are sent becomes the static part of a bootstrap, one for each node, for
`envoy --mode validate`. If that fails, each resource is tried alone, to name those that are refused.

In the bootstrap: clusters and listeners as they came; endpoints as those of a static cluster; routes inside the connection
manager that asks for them; extension configurations instead of the filters that ask for them. What configuration of the
scenario's own makes Envoy refuse is listed in accepted_known.json with the reason.
"""
import argparse, copy, json, os, subprocess, sys, tempfile, time
from concurrent import futures

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # our children are other programs
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "oracle")]
import mesh as m
from run import Run

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc

HTTP_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ADS = {"ads": {}, "resource_api_version": "V3"}
SINGLE_MAX = 400  # resources of a node that are tried alone
JOBS = 2


# ---- the extensions of a stock Envoy ----------------------------------------------------------------------------------

class FirstRequest(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def __init__(self):
        self.node = futures.Future()

    def DeltaAggregatedResources(self, requests, context):
        node = next(requests).node
        if not self.node.done():
            self.node.set_result(node)
        return iter(())


def stock_extensions(tmp):
    """What Envoy says of itself in the first request: [{"name", "category"}]."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    first = FirstRequest()
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(first, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    bootstrap = os.path.join(tmp, "ask.json")
    with open(bootstrap, "w") as f:
        subprocess.run(["pilotctl", "bootstrap", "--xds", f"127.0.0.1:{port}", "--admin", str(m.free_ports(1)[0])], stdout=f,
                       check=True, timeout=30)
    envoy = m.Child("envoy", ["envoy", "-c", bootstrap, "--disable-hot-restart", "-l", "error"], os.path.join(tmp, "ask.log"))
    try:
        node = first.node.result(30)
    finally:
        envoy.stop()
        server.stop(0)
    return [{"name": e.name, "category": e.category, "type_urls": list(e.type_urls)} for e in node.extensions]


# ---- bootstraps -------------------------------------------------------------------------------------------------------

def each(tree, visit):
    """visit(object) for all objects of a JSON tree, outer ones first."""
    if isinstance(tree, dict):
        visit(tree)
        for v in tree.values():
            each(v, visit)
    elif isinstance(tree, list):
        for v in tree:
            each(v, visit)


def unknown_types(tree):
    """Types that the Envoy API does not have: the recorder keeps their bytes in a Struct."""
    found = set()

    def visit(o):
        if set(o.get("value", {}) if isinstance(o.get("value"), dict) else ()) == {"unknown_type", "bytes"}:
            found.add(o["value"]["unknown_type"])
    each(tree, visit)
    return found


def static_cluster(name, address):
    h2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "typed_extension_protocol_options": {
        h2: {"@type": "type.googleapis.com/" + h2, "explicit_http_config": {"http2_protocol_options": {}}}},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}}


def bootstrap(clusters, listeners):
    xds = static_cluster("xds-grpc", {"socket_address": {"address": "127.0.0.1", "port_value": 1}})
    agents = [static_cluster(n, {"pipe": {"path": f"./{n}"}}) for n in ("sds-grpc", "sds-files-grpc")]
    return {"node": {"id": "validate", "cluster": "validate"},
            "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}}],
            "dynamic_resources": {"ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3",
                                                 "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]}},
            "static_resources": {"clusters": [xds, *agents, *clusters], "listeners": listeners}}


def managers(listeners):
    """The connection managers of listeners."""
    found = []
    each(listeners, lambda o: found.append(o) if o.get("@type") == HTTP_MANAGER else None)
    return found


def listener_of(name, manager):
    return {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager",
                                            "typed_config": manager}]}]}


PLAIN = {"@type": HTTP_MANAGER, "stat_prefix": "validate", "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}


def with_routes(name, config, listeners):
    """A listener with this route configuration in the connection manager that asks for it."""
    asking = [h for h in managers(listeners) if h.get("rds", {}).get("route_config_name") == name]
    manager = copy.deepcopy(asking[0] if asking else PLAIN)
    manager.pop("rds", None)
    manager["route_config"] = config
    return listener_of("routes " + name, manager)


def with_extension(name, extension):
    manager = copy.deepcopy(PLAIN)
    manager["http_filters"].insert(0, {"name": name, "typed_config": extension["typed_config"]})
    manager["route_config"] = {}
    return listener_of("extension " + name, manager)


def with_endpoints(name, assignment):
    return {"name": "endpoints " + name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}


def resources(dump):
    """(kind, name, cluster or None, listener or None) for each resource of a recording."""
    listeners = list(dump["listeners"].values())
    for name, c in dump["clusters"].items():
        yield "clusters", name, c, None
    for name, l in dump["listeners"].items():
        yield "listeners", name, None, l
    for name, r in dump["routes"].items():
        yield "routes", name, None, with_routes(name, r, listeners)
    for name, e in dump["endpoints"].items():
        if e.get("endpoints"):
            yield "endpoints", name, with_endpoints(name, e), None
    for name, x in dump["extensions"].items():
        yield "extensions", name, None, with_extension(name, x)


# ---- validation -------------------------------------------------------------------------------------------------------

def validate(items, path):
    """None, or what Envoy says against these resources."""
    with open(path, "w") as f:
        json.dump(bootstrap([i[2] for i in items if i[2]], [i[3] for i in items if i[3]]), f)
    got = subprocess.run(["envoy", "--mode", "validate", "-c", path, "-l", "error", "--disable-hot-restart"],
                         capture_output=True, text=True, timeout=60)
    return None if got.returncode == 0 else (got.stdout + got.stderr)[-700:].strip() or f"exit status {got.returncode}"


def known(rules, scenario, kind, name):
    return any((scenario, kind, name) == (r["scenario"], r["kind"], r["name"]) and r["why"] for r in rules)


def check_node(scenario, node, path, rules):
    """Complaints about one node's recording, one text each; and how many resources it has."""
    with open(path) as f:
        dump = json.load(f)
    items, complaints = [], []
    boot = path.replace(".json", ".bootstrap")
    for item in resources(dump):
        if known(rules, scenario, item[0], item[1]):
            if not validate([item], boot + ".one"):
                complaints.append(f"{item[0]} {item[1]} is accepted: take it out of accepted_known.json")
            continue
        strange = unknown_types(item[2:]) - {""}
        if strange:
            complaints.append(f"{item[0]} {item[1]}: types that stock Envoy does not have: {', '.join(sorted(strange))}")
        else:
            items.append(item)
    why = validate(items, boot)
    if why:
        alone = [(i, validate([i], boot + ".one")) for i in items[:SINGLE_MAX]]
        alone = [f"{i[0]} {i[1]}: {said}" for i, said in alone if said]
        complaints += alone or [f"all together, though each alone is accepted: {why}"]
        validate(items, boot)
    return [f"{scenario} {node}: {c}" for c in complaints], len(items)


def prepare(run, scenarios, extensions, folder):
    """The scenarios with nodes that announce their extensions."""
    chosen = []
    for s in scenarios:
        with open(os.path.join(run.oracle, s, "nodes.json")) as f:
            nodes = {n: v for n, v in json.load(f).items() if not v["id"].startswith("ztunnel~")}
        if not nodes:
            continue
        os.mkdir(os.path.join(folder, s))
        for name in os.listdir(os.path.join(run.oracle, s)):
            if name not in ("nodes.json", "expected"):
                os.symlink(os.path.abspath(os.path.join(run.oracle, s, name)), os.path.join(folder, s, name))
        for v in nodes.values():
            v["extensions"] = extensions
        with open(os.path.join(folder, s, "nodes.json"), "w") as f:
            json.dump(nodes, f)
        chosen.append(s)
    return chosen


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--shared", required=True)
    ap.add_argument("--build", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("scenario", nargs="*")
    a = ap.parse_args()
    a.jobs, a.timeout = JOBS, 1.0
    run = Run(a)
    with open(os.path.join(HERE, "accepted_known.json")) as f:
        rules = json.load(f)
    os.makedirs(a.out, exist_ok=True)
    extensions = stock_extensions(a.out)
    print(f"a stock Envoy has {len(extensions)} extensions")
    with tempfile.TemporaryDirectory() as tmp:
        scenarios = prepare(run, a.scenario or run.all(), extensions, tmp)
        complaints = run.record(scenarios, a.out, tmp)
        work = []
        for s in scenarios:
            with open(os.path.join(tmp, s, "nodes.json")) as f:
                work += [(s, n, os.path.join(a.out, s, n + ".json"), rules) for n in json.load(f)]
    begin, total = time.monotonic(), 0
    with futures.ThreadPoolExecutor(JOBS) as pool:
        for said, n in pool.map(lambda w: check_node(*w), (w for w in work if os.path.exists(w[2]))):
            complaints += said
            total += n
    if not complaints and not all(os.path.exists(w[2]) for w in work):
        complaints.append("some nodes were not recorded")
    print(f"{total} resources of {len(work)} nodes validated in {time.monotonic() - begin:.0f} s; "
          f"{len(complaints)} complaints")
    print("\n".join(complaints))
    sys.exit(1 if complaints or not total else 0)


main()
