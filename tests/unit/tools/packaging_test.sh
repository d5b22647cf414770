#!/usr/bin/env bash
# What `cmake --install` installs: where it lies, that the program runs, and units, examples and manual as their own
# checkers see them.
#   packaging_test.sh BUILD
# BUILD has the program built.
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() {  # WHAT COMMAND...: no output, no failure
  local what=$1; shift
  if ! "$@" >"$work/out" 2>&1 || [ -s "$work/out" ]; then
    echo "FAILED: $what"
    cat "$work/out"
    failed=1
  else
    echo "ok: $what"
  fi
}

# Everything is there and nothing else: installed PREFIX OPTIONS...
installed() {
  local prefix=$1 name mode; shift
  rm -rf "$work/root"
  DESTDIR=$work/root cmake --install "$build" "$@" >"$work/log" || { cat "$work/log"; return 1; }
  {
    echo "sbin/hatsd-user"
    echo "share/man/man8/hatsd-user.8"
    echo "lib/systemd/system/hatsd-user@.service"
    echo "lib/systemd/system/wg-quick@.service.d/hatsd-user.conf"
    for name in bird frr; do
      for mode in wireguard gre sit ip6gre; do echo "share/doc/hatsd-user/examples/$name-$mode.conf"; done
    done
  } | sed "s,^,$prefix/," | sort >"$work/wanted"
  (cd "$work/root" && find . ! -type d) | sed 's,^\.,,' | sort | diff "$work/wanted" -
}
# The units start the program that was installed beside them.
units_name() {
  local units=$work/root$1/lib/systemd/system program=$1/sbin/hatsd-user line
  for line in "ExecStart=$program up -f %i" "ExecReload=$program reload %i"; do
    grep -qx "$line" "$units/hatsd-user@.service" || { echo "no $line"; grep ^Exec "$units/hatsd-user@.service"; }
  done
  line="Environment=WG_QUICK_USERSPACE_IMPLEMENTATION=$program"
  grep -qx "$line" "$units/wg-quick@.service.d/hatsd-user.conf" || echo "no $line"
  ! grep -rl -e '@CMAKE' -e "$build" "$units"
}
# It runs from there, alone: nothing of the build tree is looked for.
runs() {
  local program=$work/root$1/sbin/hatsd-user key
  [[ "$(env -i "$program" --version)" =~ ^hatsd-user\ [0-9]+\.[0-9]+ ]] || { echo "--version says otherwise"; return 1; }
  key=$(env -i "$program" genkey | env -i "$program" pubkey)
  [ ${#key} = 44 ] || { echo "no key"; return 1; }
  ! readelf -d "$program" | grep -e RPATH -e RUNPATH
}
configured=$(sed -n 's/^CMAKE_INSTALL_PREFIX:[A-Z]*=//p' "$build/CMakeCache.txt")
check "installed with the configured prefix, all is where the README says" installed "$configured"
check "the units name the program there" units_name "$configured"
check "installed with another prefix, all is below that" installed /opt/tunnels --prefix /opt/tunnels
check "the units name the program at the other prefix" units_name /opt/tunnels
check "the installed program runs" runs /opt/tunnels
units=$work/root/opt/tunnels/lib/systemd/system
manual=$work/root/opt/tunnels/share/man/man8/hatsd-user.8
examples=$work/root/opt/tunnels/share/doc/hatsd-user/examples

if command -v mandoc >/dev/null; then
  check "mandoc has nothing to say about hatsd-user(8)" mandoc -Tlint -W warning "$manual"
else
  echo "SKIPPED: the manual: mandoc is not installed"
fi

if command -v systemd-analyze >/dev/null; then
  mkdir -p "$work/units/wg-quick@.service.d"
  fill() { sed "s,/[^ =]*/hatsd-user \(up\|reload\),$work/root/opt/tunnels/sbin/hatsd-user \1," "$1"; }
  fill "$units/hatsd-user@.service" >"$work/units/hatsd-user@.service"
  cp "$units/wg-quick@.service.d/hatsd-user.conf" "$work/units/wg-quick@.service.d/"
  # --recursive-errors=no: what other units of this machine do wrong is not ours.
  check "systemd takes hatsd-user@.service" \
    env SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze verify --man=no --recursive-errors=no "$work/units/hatsd-user@x.service"
  if [ -e /lib/systemd/system/wg-quick@.service ]; then
    cp /lib/systemd/system/wg-quick@.service "$work/units/"
    check "systemd takes the drop-in of wg-quick@.service" \
      env SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze verify --man=no --recursive-errors=no "$work/units/wg-quick@x.service"
  else
    echo "SKIPPED: the drop-in: wireguard-tools has no unit here"
  fi
  # The checkers must be able to say no.
  sed 's/^Type=notify/Type=nonsense/' "$work/units/hatsd-user@.service" >"$work/units/broken@.service"
  if [ -z "$(SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze verify --man=no "$work/units/broken@x.service" 2>&1)" ]; then
    echo "FAILED: a broken unit passes"
    failed=1
  fi
else
  echo "SKIPPED: the units: systemd-analyze is not installed"
fi
if command -v bird >/dev/null; then
  for file in "$examples"/bird-*.conf; do check "BIRD takes ${file##*/}" bird -p -c "$file"; done
else
  echo "SKIPPED: the examples for BIRD: bird2 is not installed"
fi
if command -v vtysh >/dev/null; then
  for file in "$examples"/frr-*.conf; do check "FRR takes ${file##*/}" vtysh -C -f "$file"; done
else
  echo "SKIPPED: the examples for FRR: frr is not installed"
fi

exit $failed
