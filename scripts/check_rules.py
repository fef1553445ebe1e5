#!/usr/bin/env python3
"""Rules of this project that no compiler knows. Prints FILE:LINE: what is wrong; exit status 1 if anything is.

- layers: which folder may include which
- banned functions, each with what to use instead
- length of files and of functions
- header guards named after the file
- words of unfinished work
- scripts parse; text files end with a newline and have no trailing blanks
"""
import ast
import re
import subprocess
import sys

MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 100

# The include side of the layers in CMakeLists.txt.
LAYERS = {
    "base": {"base"},
    "api": {"base", "api"},
    "config": {"base", "api", "config"},
    "k8s": {"base", "api", "config", "k8s"},
    "ca": {"base", "api", "config", "ca"},
    "discovery": {"base", "api", "config", "k8s", "discovery"},
    "xds": {"base", "api", "config", "k8s", "ca", "discovery", "xds"},
    "proxy": {"base", "api", "ca", "xds", "proxy"},
    "cmd": {"base", "api", "config", "k8s", "ca", "discovery", "xds", "proxy", "cmd"},
}

BANNED = {
    "strcpy": "pd_buf or an arena",
    "strcat": "pd_buf or an arena",
    "strncpy": "memcpy with a known length",
    "strncat": "pd_buf or an arena",
    "stpcpy": "pd_buf or an arena",
    "sprintf": "snprintf or pd_buf",
    "vsprintf": "vsnprintf or pd_buf",
    "gets": "fgets",
    "scanf": "a parser that checks",
    "sscanf": "a parser that checks ranges (strtol and friends)",
    "fscanf": "a parser that checks",
    "atoi": "strtol",
    "atol": "strtol",
    "atof": "strtod",
    "strtok": "strtok_r or pd_str",
    "alloca": "an arena",
    "localtime": "localtime_r",
    "gmtime": "gmtime_r",
    "asctime": "strftime",
    "ctime": "strftime",
    "rand": "arc4random or a seeded generator of your own",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
    "readdir_r": "readdir",
    "gethostbyname": "getaddrinfo",
    "signal": "sigaction",
    "assert": "PD_ASSERT, which stays on in release builds",
}
FINE_IN_TESTS = {"assert", "atoi", "atol", "atof", "sscanf", "fscanf"}
BANNED_RE = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|(?i:\bfor now\b|\bnot yet implemented\b)")

complaints = []


def complain(path, line, text):
    complaints.append(f"{path}:{line}: {text}")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def without_comments(text):
    """C with comments, strings and characters blanked, line structure kept."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


def check_includes(path, lines):
    top = path.split("/")[0]
    allowed = LAYERS.get(top)
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*"(\w+)/(?!.*\.pb-c\.h)', line)  # generated: below api/proto
        if match and allowed and match[1] in LAYERS and match[1] not in allowed:
            complain(path, number, f"{top}/ must not include {match[1]}/")


def check_functions(path, code_lines):
    start = None
    for number, line in enumerate(code_lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start:
            if number - start > MAX_FUNCTION_LINES:
                complain(path, start, f"function of {number - start} lines (limit {MAX_FUNCTION_LINES})")
            start = None


def check_c(path, text, lines):
    code = without_comments(text)
    code_lines = code.splitlines()
    check_includes(path, lines)
    check_functions(path, code_lines)
    in_tests = path.startswith("tests/")
    for number, line in enumerate(code_lines, 1):
        for match in BANNED_RE.finditer(line):
            if in_tests and match[1] in FINE_IN_TESTS:
                continue
            complain(path, number, f"{match[1]} is banned: use {BANNED[match[1]]}")
    if path.endswith(".h"):
        guard = re.sub(r"\W", "_", path.split("/")[-1]).upper()
        if not re.search(rf"^#ifndef (\w*{guard})\n#define \1$", text, re.M):
            complain(path, 1, f"no header guard …{guard}")


def check(path):
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return
    lines = text.splitlines()
    source = path.endswith((".c", ".h", ".py", ".sh", ".proto", ".cmake"))
    if source and len(lines) > MAX_FILE_LINES:
        complain(path, len(lines), f"{len(lines)} lines (limit {MAX_FILE_LINES})")
    if path.endswith((".c", ".h")):
        check_c(path, text, lines)
    if path.endswith(".py"):
        try:
            ast.parse(text)
        except SyntaxError as e:
            complain(path, e.lineno, e.msg)
    if path.endswith(".sh") or path == ".ci/run":
        result = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
        if result.returncode:
            complain(path, 1, result.stderr.strip())
    if source or path.endswith((".md", ".txt", "Makefile")):
        if text and not text.endswith("\n"):
            complain(path, len(lines), "no newline at the end of the file")
        for number, line in enumerate(lines, 1):
            if line != line.rstrip() and not path.endswith(".md"):
                complain(path, number, "trailing blanks")
            if source and path != "scripts/check_rules.py" and UNFINISHED.search(line):
                complain(path, number, "words of unfinished work")


def main():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for path in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0"):
        if path and not path.startswith("tests/fuzz/corpus/"):
            check(path)
    print("\n".join(complaints))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
