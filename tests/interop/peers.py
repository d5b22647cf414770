"""Other userspace implementations as peers: Debian's wireguard-go, and the newest wireguard-go, boringtun and gotatun,
built by Go and Cargo where those are there (peers.py --fetch NAME, which needs the network).
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))
from harness import SKIPPED, Skip, need, skip  # noqa: E402

# name: (tool, words that install it, program it makes, words to start it in the foreground, environment)
NEWEST = {
    "wireguard-go-newest": ("go", ["go", "install", "golang.zx2c4.com/wireguard@latest"], "wireguard", ["-f"], {}),
    "boringtun": ("cargo", ["cargo", "install", "--locked", "boringtun-cli"], "boringtun-cli",
                  ["--foreground", "--disable-drop-privileges"], {"WG_SUDO": "1"}),
    "gotatun": ("cargo", ["cargo", "install", "--locked", "gotatun-cli"], "gotatun",
                ["--foreground", "--disable-drop-privileges"], {"WG_SUDO": "1"}),
}


def peers_dir(name):
    base = os.environ.get("HATSD_PEERS_CACHE") or os.path.expanduser("~/.cache/hatsd-peers")
    return os.path.join(base, name)


def program(name):
    """The path of the peer's program and the words to start it with."""
    if name == "wireguard-go":
        need("wireguard-go")
        return [shutil.which("wireguard-go"), "-f"], {}
    folder = os.path.join(peers_dir(name), "bin")
    _, _, made, words, env = NEWEST[name]
    candidates = [entry for entry in (made, f"{made}-cli") if os.path.exists(os.path.join(folder, entry))]
    if not candidates:
        skip(f"{name} was not built here (peers.py --fetch {name})")
    return [os.path.join(folder, candidates[0]), *words], env


def fetch(name):
    """Builds the newest release into the cache, once."""
    tool, words, _, _, _ = NEWEST[name]
    need(tool)
    folder = peers_dir(name)
    if os.path.isdir(os.path.join(folder, "bin")) and os.listdir(os.path.join(folder, "bin")):
        return
    os.makedirs(os.path.join(folder, "bin"), exist_ok=True)
    env = dict(os.environ, GOBIN=os.path.join(folder, "bin"), GOFLAGS="-mod=mod")
    if tool == "cargo":
        words = [*words, "--root", folder]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        skip(f"{' '.join(words)} failed: {done.stderr.strip()[-400:]}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--fetch" or sys.argv[2] not in NEWEST:
        sys.exit(f"usage: peers.py --fetch {{{'|'.join(NEWEST)}}}")
    try:
        fetch(sys.argv[2])
    except Skip as reason:
        print(f"SKIPPED: {reason}")
        sys.exit(SKIPPED)
