#!/usr/bin/env python3
"""Compare our codec with Google's: reads what test_codec_crosscheck.c wrote, answers in the same form.

  crosscheck.py IN OUT DESCRIPTOR_SET...

A line of IN is `type hex-of-bytes JSON`. For each: Google's reader of JSON must make of our JSON the message that its
reader of bytes makes of our bytes. OUT gets `type hex-of-bytes JSON` as Google writes it.
"""
import json
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def load(paths):
    pool = descriptor_pool.DescriptorPool()
    for path in paths:
        files = descriptor_pb2.FileDescriptorSet()
        with open(path, "rb") as f:
            files.ParseFromString(f.read())
        for file in files.file:
            pool.Add(file)
    return pool


def main():
    source, out, *sets = sys.argv[1:]
    pool = load(sets)
    wrong = 0
    with open(source, encoding="utf-8") as f, open(out, "w", encoding="utf-8") as answers:
        for line in f:
            name, data, text = line.rstrip("\n").split(" ", 2)
            kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
            message = kind.FromString(bytes.fromhex(data))
            try:
                parsed = json_format.Parse(text, kind(), descriptor_pool=pool)
            except json_format.ParseError as error:
                print(f"{name}: {error}: {text[:1000]}")
                wrong += 1
                continue
            # As dicts: NaN is text there, and an Any is expanded (protobuf-c leaves out empty keys of map entries, Google
            # does not: both are right, but the bytes differ).
            theirs = json_format.MessageToDict(message, descriptor_pool=pool)
            if json_format.MessageToDict(parsed, descriptor_pool=pool) != theirs:
                print(f"{name}: differs: {text[:1000]}\nbytes: {message}\njson: {parsed}")
                wrong += 1
            answers.write(f"{name} {data} {json.dumps(theirs)}\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
