#!/usr/bin/env python3
"""Proves that tidy.py can fail: a small sound tree draws no report, and each broken law draws exactly its own."""
import json
import pathlib
import shutil
import sys
import tempfile

import tidy

SOUND = {
    "CMakeLists.txt": "project(x)\n",
    "crypto/key.hpp": "#pragma once\n#include <array>\n#include <sodium.h>\n#include <blake2.h>\n",
    "core/peer.hpp": '#pragma once\n#include <vector>\n#include "crypto/key.hpp"\n'
                     "// it may throw, ask getrandom or clock::now() in a comment\n"
                     'inline const char* text() { return "throw getrandom ::now()"; }\ninline int n = 1\'000\'000;\n',
    "core/config/netplan.cpp": '#include <yaml-cpp/yaml.h>\n#include "core/peer.hpp"\n',
    "transport/loop.cpp": '#include <liburing.h>\n#include <sys/socket.h>\n#include <chrono>\n#include "core/peer.hpp"\n',
    "tun/link.cpp": '#include <libmnl/libmnl.h>\n#include <linux/if_tun.h>\n#include "core/peer.hpp"\n',
    "tools/main.cpp": '#include <boost/asio.hpp>\n#include <sys/un.h>\n#include "tun/link.hpp"\n'
                      '#include "transport/loop.hpp"\nvoid f() { throw 1; }\n',
    "bench/b.cpp": '#include <sodium.h>\n#include "tools/main.hpp"\n',
    "tests/t.cpp": '#include <boost/asio.hpp>\n#include "tools/main.hpp"\n#include "support.hpp"\n',
    **{f"{room}/README.md": "what lives here\n" for room in tidy.ROOMS},
}

LATER = "TO" + "DO"
# (file, its text, words of the one report that it must draw)
BROKEN = [
    ("crypto/a.cpp", '#include "core/peer.hpp"\n', "crypto/a.cpp:1: crypto/ must not include"),
    ("core/a.cpp", '\n#include "tun/link.hpp"\n', "core/a.cpp:2: core/ must not include"),
    ("core/a.cpp", '#include "transport/loop.hpp"\n', "core/a.cpp:1: core/ must not include"),
    ("core/a.cpp", '#include "tools/x.hpp"\n', "core/a.cpp:1: core/ must not include"),
    ("core/a.cpp", '#include "tests/x.hpp"\n', "core/a.cpp:1: core/ must not include"),
    ("tun/a.cpp", '#include "transport/loop.hpp"\n', "tun/a.cpp:1: tun/ must not include"),
    ("tun/a.cpp", '#include "tools/x.hpp"\n', "tun/a.cpp:1: tun/ must not include"),
    ("transport/a.cpp", '  #  include "tun/link.hpp"\n', "transport/a.cpp:1: transport/ must not include"),
    ("tools/a.cpp", '#include "tests/x.hpp"\n', "tools/a.cpp:1: tools/ must not include"),
    ("tools/a.cpp", '#include "../core/peer.hpp"\n', "tools/a.cpp:1: \"../core/peer.hpp\" must be named by its path"),
    ("core/a.cpp", "#include <tun/link.hpp>\n", "core/a.cpp:1: <tun/link.hpp> is ours"),
    *[(f"{room}/a.hpp", "#pragma once\n#include <boost/asio.hpp>\n", f"{room}/a.hpp:2: <boost/asio.hpp> belongs in")
      for room in ("crypto", "core", "transport", "tun")],
    ("core/a.cpp", "#include <sodium.h>\n", "core/a.cpp:1: <sodium.h> belongs in crypto/"),
    ("tun/a.cpp", "#include <liburing.h>\n", "tun/a.cpp:1: <liburing.h> belongs in transport/"),
    *[(name, "#include <yaml-cpp/yaml.h>\n", f"{name}:1: <yaml-cpp/yaml.h> belongs in core/config/netplan* alone")
      for name in ("crypto/a.cpp", "core/config/wg_quick.cpp", "core/wg/netplan.cpp", "tun/a.cpp")],
    *[(f"{room}/a.cpp", f"#include <{name}>\n", f"{room}/a.cpp:1: <{name}> must not be in {room}/")
      for room in ("core", "crypto")
      for name in ("sys/socket.h", "thread", "chrono", "mutex", "unistd.h", "netinet/in.h", "linux/if.h", "random",
                   "time.h", "iostream", "condition_variable")],
    *[(f"{room}/a.cpp", f"int f() {{\n  {code};\n}}\n", f"{room}/a.cpp:2: {room}/ {what}")
      for room in ("core", "crypto")
      for code, what in (("throw 1", "throws"), ("getrandom(0, 0, 0)", "draws entropy"),
                         ("auto t = clock::now()", "reads a clock"), ("auto t = C::now ()", "reads a clock"))],
    ("core/a.cpp", "int f() { return '\"'; }\nvoid g() { throw 1; }\nconst char* s = \"\\\"\";\n", "a.cpp:2: core/ throws"),
    ("core/a.hpp", "inline int x;\n", "core/a.hpp:1: a header needs #pragma once"),
    ("tun/a.cpp", "\n" * 801, "tun/a.cpp:801: 801 lines"),
    ("tests/a.py", "\n" * 801, "tests/a.py:801: 801 lines"),
    ("tools/a.cpp", f"// one\n// {LATER}: later\n", f"tools/a.cpp:2: '{LATER}'"),
    ("bench/notes.md", "FIX" + "ME\n", "bench/notes.md:1: 'FIX" + "ME'"),
    ("LICENSE", f"{LATER}\n", f"LICENSE:1: '{LATER}'"),
]


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def report(root, wanted, what):
    faults = list(tidy.check_tree(root))
    if (len(faults), sum(wanted in fault for fault in faults)) == ((1, 1) if wanted else (0, 0)):
        return 0
    print(f"{what}: wanted {wanted!r}, got {faults}")
    return 1


def check_broken_laws(root):
    failures = report(root, "", "the sound tree")
    for name, text, wanted in BROKEN:
        before = SOUND.get(name)
        write(root, name, text)
        failures += report(root, wanted, f"{name} with {text[:40]!r}")
        if before is None:
            (root / name).unlink()
        else:
            write(root, name, before)
    for room in tidy.ROOMS:
        (root / room / "README.md").unlink()
        failures += report(root, f"{room}/README.md:1: is missing", f"{room} without README.md")
        write(root, f"{room}/README.md", SOUND[f"{room}/README.md"])
    return failures + report(root, "", "the sound tree, again")


def check_lonely_headers(root):
    build = root / "build"
    write(root, "core/peer.cpp", "")
    write(root, "core/sound.hpp", "#pragma once\n#include <vector>\ninline std::vector<int> v;\n")
    write(root, "build/compile_commands.json", json.dumps([
        {"file": str(root / "core/peer.cpp"), "directory": str(build),
         "command": f"{shutil.which('ccache') or ''} c++ -std=c++20 -I{root} -o x -c {root}/core/peer.cpp"}]))
    (root / "crypto/key.hpp").unlink()
    (root / "core/peer.hpp").unlink()
    failures = 0
    if faults := list(tidy.check_headers(root, build)):
        print(f"a sound header: got {faults}")
        failures += 1
    write(root, "core/lonely.hpp", "#pragma once\ninline std::vector<int> w;\n")
    faults = list(tidy.check_headers(root, build))
    if len(faults) != 1 or not faults[0].startswith("core/lonely.hpp:1: does not compile alone"):
        print(f"a header that lacks an include: got {faults}")
        failures += 1
    return failures


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        for name, text in SOUND.items():
            write(root, name, text)
        failures = check_broken_laws(root) + check_lonely_headers(root)
    print(f"{failures} failures" if failures else f"{len(BROKEN) + len(tidy.ROOMS) + 1} broken laws were noticed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
