#!/usr/bin/env python3
"""clang-tidy, with the tree's .clang-tidy, over the sources of one folder: clang_tidy.py BUILD FOLDER

Prints what it finds; the exit status tells. Files that BUILD does not compile are not looked at. A file found clean is
not looked at again before the text that the compiler sees of it, comments included, or the rules change: the whole tree
takes the better part of an hour. HATSD_TIDY_CACHE is where that is kept, or ~/.cache/hatsd-tidy.
"""
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

TIDY = "clang-tidy-19"
TOP = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("HATSD_TIDY_CACHE") or pathlib.Path.home() / ".cache/hatsd-tidy")


def key(entry, rules):
    """Of all that the verdict depends on; None where the file does not compile."""
    words = shlex.split(entry["command"])
    words = [word for word in words[:words.index("-o")] + words[words.index("-o") + 2:] if word != "-c"]
    seen = subprocess.run([*words, "-E", "-P", "-C"], cwd=entry["directory"], capture_output=True)
    if seen.returncode:
        return None
    options = [word for word in words[1:-1] if str(TOP) not in word]
    return hashlib.sha256(b"\0".join([rules, " ".join(options).encode(), seen.stdout])).hexdigest()


def check(build, entry, rules):
    """Whether the file is clean, and what clang-tidy has to say if it is not."""
    wanted = key(entry, rules)
    mark = CACHE / (wanted or "none")
    if wanted and mark.exists():
        return True, ""
    done = subprocess.run([TIDY, "--quiet", "-p", build, entry["file"]], cwd=TOP, capture_output=True, text=True)
    if done.returncode == 0 and wanted:
        mark.touch()
    return done.returncode == 0, done.stdout + (done.stderr if done.returncode else "")


def main(build, folder):
    if not shutil.which(TIDY):
        print(f"SKIPPED: {TIDY} is not installed")
        return 77
    CACHE.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    files = [TOP / ".clang-tidy", TOP / folder / ".clang-tidy"]  # a folder's adds to the tree's
    rules = version + b"".join(file.read_bytes() for file in files if file.exists())
    entries = [entry for entry in json.loads((pathlib.Path(build) / "compile_commands.json").read_text())
               if pathlib.Path(entry["file"]).is_relative_to(TOP / folder)]
    if not entries:
        print(f"{build} compiles nothing of {folder}")
        return 1
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda entry: check(build, entry, rules), entries))
    for entry, (clean, said) in zip(entries, verdicts):
        if not clean:
            print(f"== {os.path.relpath(entry['file'], TOP)}\n{said}", flush=True)
    print(f"{folder}: {len(entries)} files, {sum(not clean for clean, _ in verdicts)} with findings")
    return 0 if all(clean for clean, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
