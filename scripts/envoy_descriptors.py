#!/usr/bin/env python3
"""Write the descriptor set of the Envoy v3 API, from which protoc-c generates our C structs.

  envoy_descriptors.py SOURCE OUT.desc OUT.list

SOURCE  a directory of generated Python (PyPI xds-protos: *_pb2.py), a directory of .proto files,
        or a serialized FileDescriptorSet.
OUT     .desc: a FileDescriptorSet, imports before importers; .list: its file names, one a line.

The Python files carry their serialized descriptor as a bytes literal. It is read with `ast`: nothing is
imported, so neither the package's dependencies nor its version of the protobuf runtime matter.
What goes out is the roots below with all that they import, because a C header includes every import.
"""
import ast
import os
import re
import subprocess
import sys
import tempfile

ROOTS = re.compile(
    r"^(envoy/(?!.*/(v1|v2|v2alpha\d*)/).*"
    r"|udpa/.*|xds/.*|validate/validate"
    r"|google/rpc/status"
    r"|google/protobuf/(any|descriptor|duration|empty|field_mask|struct|timestamp|wrappers)"
    r"|opentelemetry/proto/.*)\.proto$"
)


def fields(data):
    """Yield (number, value) of a protobuf message: int for varints, bytes for length-delimited fields."""
    pos = 0

    def varint():
        nonlocal pos
        value = shift = 0
        while True:
            byte = data[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while pos < len(data):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, varint()
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield number, data[pos : pos + size]
            pos += size
        elif wire == 2:
            size = varint()
            yield number, data[pos : pos + size]
            pos += size
        else:
            raise ValueError(f"wire type {wire}")


def sub(data, number):
    return [v for n, v in fields(data) if n == number]


def has_proto3_optional(file):
    """protoc-c refuses files with proto3 `optional` fields (FieldDescriptorProto.proto3_optional = 17)."""
    pending = sub(file, 4)
    while pending:
        message = pending.pop()
        pending += sub(message, 3)
        if any(1 in sub(f, 17) for f in sub(message, 2)):
            return True
    return False


def from_python(directory):
    """Descriptors of all *_pb2.py below directory."""
    for folder, _, names in os.walk(directory):
        for name in names:
            if not name.endswith("_pb2.py"):
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                tree = ast.parse(f.read())
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "AddSerializedFile"
                    and isinstance(node.args[0], ast.Constant)
                ):
                    yield node.args[0].value
                    break


def from_set(path):
    with open(path, "rb") as f:
        yield from sub(f.read(), 1)


def from_protos(directory):
    """Descriptors of the .proto files below directory that are roots, with their imports."""
    names = []
    for folder, _, files in os.walk(directory):
        names += [os.path.relpath(os.path.join(folder, f), directory) for f in files]
    with tempfile.NamedTemporaryFile() as out:
        roots = sorted(n for n in names if ROOTS.match(n))
        subprocess.run(["protoc", "-I", directory, "--include_imports", "-o", out.name, *roots], check=True)
        yield from from_set(out.name)


def source_kind(path):
    if os.path.isfile(path):
        return from_set
    for _, _, names in os.walk(path):
        if any(n.endswith("_pb2.py") for n in names):
            return from_python
        if any(n.endswith(".proto") for n in names):
            return from_protos
    sys.exit(f"{path}: neither a descriptor set nor a directory of *_pb2.py or .proto files")


def closure(known):
    """Names of the roots and all their imports, imports first."""
    imports = {name: [v.decode() for v in sub(data, 3)] for name, data in known.items()}
    order, state = [], {}

    def visit(name, importer):
        if name in state:
            return
        if name not in known:
            sys.exit(f"{importer} imports {name}, which is missing")
        if has_proto3_optional(known[name]):
            sys.exit(f"{importer} needs {name}, which has proto3 optional fields: protoc-c cannot generate it")
        state[name] = True
        for dependency in imports[name]:
            visit(dependency, name)
        order.append(name)

    for name in sorted(known):
        if ROOTS.match(name) and not has_proto3_optional(known[name]):
            visit(name, "the list of roots")
    return order


def encode_varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(number, payload):
    return encode_varint(number << 3 | 2) + encode_varint(len(payload)) + payload


def rename_base(message):
    """protoc-c calls the first member of each struct `base`; a message with a field of that name (Runtime)
    gets protobuf-c's message option base_field_name = "message_base" (extension 1019, field 3)."""
    out = b""
    clash = False
    for number, value in fields(message):
        if number == 3:
            value = rename_base(value)
        elif number == 2 and sub(value, 1)[0] == b"base":
            clash = True
        out += record(number, value)
    if clash:
        out += record(7, record(1019, record(3, b"message_base")))
    return out


def without_clashes(file):
    """The FileDescriptorProto with every message that has a field `base` made acceptable to protoc-c."""
    if not any(b"\x0a\x04base" in m for m in sub(file, 4)):
        return file
    out = b""
    for number, value in fields(file):
        if number == 4:
            value = rename_base(value)
        out += record(number, value) if isinstance(value, bytes) else encode_varint(number << 3) + encode_varint(value)
    return out


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, desc, listing = sys.argv[1:]
    known = {sub(data, 1)[0].decode(): data for data in source_kind(source)(source)}
    order = closure(known)
    for must in ("envoy/service/discovery/v3/ads.proto", "envoy/config/cluster/v3/cluster.proto"):
        if must not in order:
            sys.exit(f"{source}: no {must}; is this the Envoy API?")
    with open(desc, "wb") as f:
        for name in order:
            f.write(record(1, without_clashes(known[name])))
    with open(listing, "w", encoding="utf-8") as f:
        f.write("".join(name + "\n" for name in order))
    print(f"{len(order)} files of the Envoy API, {os.path.getsize(desc)} bytes")


if __name__ == "__main__":
    main()
