#!/usr/bin/env python3
"""The laws of the tree that a compiler does not enforce, said in words.

    tidy.py [--build DIR] [ROOT]     prints one line a violation; status 0 if there is none

With --build (a CMake build directory with compile_commands.json) it also compiles every header alone.
tidy_selfcheck.py breaks each law in a temporary tree and demands that it is noticed.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

# Who may include whom: crypto <- core <- {transport, tun} <- tools. Tests and benchmarks may touch everything.
MAY_INCLUDE = {
    "crypto": {"crypto"},
    "core": {"core", "crypto"},
    "transport": {"transport", "core", "crypto"},
    "tun": {"tun", "core", "crypto"},
    "tools": {"tools", "transport", "tun", "core", "crypto"},
    "bench": {"bench", "tests", "tools", "transport", "tun", "core", "crypto"},
    "tests": {"tests", "tools", "transport", "tun", "core", "crypto"},
}
ROOMS = tuple(MAY_INCLUDE)
SANS_IO = ("crypto", "core")

# A library is at home in one room, or in a part of it; tools/, tests/ and bench/ may use any.
HOME_OF = {
    "sodium.h": "crypto",
    "blake2.h": "crypto",
    "intel-ipsec-mb.h": "crypto",
    "yaml-cpp/": "core/config/netplan",  # the netplan parser: files whose names begin so
    "liburing.h": "transport",
    "libmnl/": "tun",
    "boost/": "tools",
}

# Sans-I/O: beside the libraries above only the C++ standard library, without what reads a clock, starts or joins
# a thread, draws entropy or does I/O.
NOT_SANS_IO = {
    "barrier", "chrono", "condition_variable", "csignal", "ctime", "filesystem", "fstream", "future", "iostream",
    "latch", "mutex", "random", "semaphore", "shared_mutex", "stop_token", "syncstream", "thread",
}
NOT_SANS_IO_WORDS = {
    r"\bthrow\b": "throws",
    r"\bgetrandom\b": "draws entropy (getrandom)",
    r"::now\s*\(": "reads a clock (::now())",
}

MAX_LINES = 800
# Promises to do it later. Written so that this file does not break the law itself.
MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")

CPP = (".cpp", ".hpp", ".c", ".h")
SOURCES = CPP + (".py", ".sh", ".cmake", "CMakeLists.txt")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
COMMENT_OR_LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\[^\'\n]+|[^\'\\\n])\'', re.DOTALL)


def files(root):
    """Every file of the rooms and those at the top, as (path relative to the root, text)."""
    names = [path.name for path in sorted(root.iterdir()) if path.is_file() and not path.name.startswith(".")]
    for room in ROOMS:
        for folder, folders, entries in os.walk(root / room):
            folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in ("__pycache__", "corpus"))
            names += [os.path.relpath(os.path.join(folder, entry), root) for entry in sorted(entries)]
    for name in names:
        try:
            yield name, (root / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not text


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def code_of(text):
    """The text with comments and literals blanked, lines kept."""
    return COMMENT_OR_LITERAL.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_quoted(room, name):
    target = name.split("/")[0]
    if "/" not in name:
        return None  # beside the file that includes it, hence of the same room
    if target not in MAY_INCLUDE:
        return f'"{name}" must be named by its path from the top'
    if target not in MAY_INCLUDE[room]:
        return f'{room}/ must not include "{name}": the law is crypto <- core <- transport, tun <- tools'
    return None


def check_angled(room, file, name):
    for library, home in HOME_OF.items():
        if name == library or (library.endswith("/") and name.startswith(library)):
            if file.startswith(home) or room in ("tools", "tests", "bench"):
                return None
            return f"<{name}> belongs in {home}{'*' if '/' in home else '/'} alone"
    if name.split("/")[0] in MAY_INCLUDE:
        return f"<{name}> is ours: include it with quotes"
    if room in SANS_IO and ("." in name or "/" in name or name in NOT_SANS_IO):
        return f"<{name}> must not be in {room}/, which knows no system call, thread, clock or entropy"
    return None


def check_cpp(name, text):
    room = name.split("/")[0]
    if room not in MAY_INCLUDE:
        return
    for match in INCLUDE.finditer(text):
        fault = check_quoted(room, match[2]) if match[1] == '"' else check_angled(room, name, match[2])
        if fault:
            yield line_of(text, match.start()), fault
    if name.endswith(".hpp") and "#pragma once" not in text:
        yield 1, "a header needs #pragma once"
    if room in SANS_IO:
        code = code_of(text)
        for pattern, what in NOT_SANS_IO_WORDS.items():
            for match in re.finditer(pattern, code):
                yield line_of(code, match.start()), f"{room}/ {what}, which it must not"


def check_text(name, text):
    if name.endswith(SOURCES) and text.count("\n") > MAX_LINES:
        yield MAX_LINES + 1, f"{text.count(chr(10))} lines; at most {MAX_LINES}: split it by noun"
    for match in MARKS.finditer(text):
        yield line_of(text, match.start()), f"'{match[1]}': do it, or open an issue"


def check_tree(root):
    for room in ROOMS:
        if (root / room).is_dir() and not (root / room / "README.md").is_file():
            yield f"{room}/README.md:1: is missing: what lives here, what it may touch, what it must not"
    for name, text in files(root):
        checks = [check_text(name, text)]
        if name.endswith(CPP):
            checks.append(check_cpp(name, text))
        for check in checks:
            for line, fault in check:
                yield f"{name}:{line}: {fault}"


def compile_flags(build):
    """For each source file, the compiler and those of its flags that matter to a header."""
    result = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        while os.path.basename(words[0]) in ("ccache", "sccache"):
            words.pop(0)
        flags = [words[0]]
        for i, word in enumerate(words):
            if word.startswith(("-I", "-D", "-std=", "-f", "-O", "-W")) and not word.startswith("-fsanitize"):
                flags.append(word)
            elif word in ("-isystem", "-include"):
                flags += words[i:i + 2]
        result.setdefault(entry["file"], flags)
    return result


def check_headers(root, build):
    """Every header of ours compiles as the only include of a file, with the flags of the source nearest to it."""
    commands = compile_flags(build)
    headers = [name for name, _ in files(root) if name.endswith(".hpp")]

    def flags_for(header):
        # Its own .cpp, else one of its folder, else one further up.
        folder = (root / header).with_suffix(".cpp")
        if str(folder) in commands:
            return commands[str(folder)]
        for parent in (root / header).parents:
            for source, flags in commands.items():
                if source.startswith(f"{parent}{os.sep}"):
                    return flags
            if parent == root:
                return None

    def compile_alone(header):
        flags = flags_for(header)
        if flags is None:
            return f"{header}:1: no compile command near it to check it with"
        ran = subprocess.run(flags + ["-fsyntax-only", "-x", "c++", "-"], input=f'#include "{header}"\n',
                             capture_output=True, text=True, check=False, cwd=root)
        if ran.returncode == 0:
            return None
        first = next((line for line in ran.stderr.splitlines() if "error" in line), ran.stderr.strip())
        return f"{header}:1: does not compile alone: {first}"

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(compile_alone, headers))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parents[2])
    options = parser.parse_args()
    root = options.root.resolve()
    faults = list(check_tree(root))
    if options.build:
        faults += check_headers(root, options.build.resolve())
    for fault in faults:
        print(fault)
    print(f"{len(faults)} violations" if faults else "the laws of the tree hold")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
