#!/usr/bin/env python3
"""Write the table of all protobuf-c message descriptors, sorted by full name: the type registry behind pb_find.

  pb_registry.py OUT.c PATH...

PATH    a generated .pb-c.c file, or a directory that is searched for them.

protobuf-c itself has no registry. Symbol and full name of each message stand side by side in the generated C, so
that is what is read: no second guess at how protoc-c derives its symbol names.
"""
import os
import re
import sys

DESCRIPTOR = re.compile(
    r"^const ProtobufCMessageDescriptor (\w+) =\n\{\n  PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,\n  \"([\w.]+)\",", re.M
)


def sources(paths):
    for path in paths:
        if os.path.isfile(path):
            yield path
        for folder, _, names in os.walk(path):
            for name in names:
                if name.endswith(".pb-c.c"):
                    yield os.path.join(folder, name)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, paths = sys.argv[1], sys.argv[2:]
    types = {}
    for path in sources(paths):
        with open(path, encoding="utf-8") as f:
            for symbol, name in DESCRIPTOR.findall(f.read()):
                if types.setdefault(name, symbol) != symbol:
                    sys.exit(f"{path}: {name} is generated twice")
    if "google.protobuf.Any" not in types:
        sys.exit(f"{' '.join(paths)}: no generated google.protobuf.Any")
    # Byte order, as strcmp has it.
    ordered = sorted(types.items(), key=lambda item: item[0].encode())
    text = ["#include <protobuf-c/protobuf-c.h>\n\n"]
    text += [f"extern const ProtobufCMessageDescriptor {symbol};\n" for _, symbol in ordered]
    text += ["\nextern const ProtobufCMessageDescriptor *const pb_registry_table[];\n"]
    text += ["extern const size_t pb_registry_count;\n"]
    text += ["\nconst ProtobufCMessageDescriptor *const pb_registry_table[] = {\n"]
    text += [f"\t&{symbol},\n" for _, symbol in ordered]
    text += [f"}};\nconst size_t pb_registry_count = {len(ordered)};\n"]
    with open(out, "w", encoding="utf-8") as f:
        f.write("".join(text))


if __name__ == "__main__":
    main()
