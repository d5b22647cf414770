#!/usr/bin/env bash
# The units and examples that are installed and the manual, as their own checkers see them.
#   packaging_test.sh BUILD SOURCE
# BUILD has been configured; the program need not be built: a stand-in takes its place in the units.
set -eu
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
ran=0

check() {  # WHAT COMMAND...: no output, no failure
  local what=$1; shift
  ran=1
  if ! "$@" >"$work/out" 2>&1 || [ -s "$work/out" ]; then
    echo "FAILED: $what"
    cat "$work/out"
    failed=1
  else
    echo "ok: $what"
  fi
}

if command -v mandoc >/dev/null; then
  check "mandoc has nothing to say about hatsd-user(8)" mandoc -Tlint -W warning "$source/tools/man/hatsd-user.8"
else
  echo "SKIPPED: the manual: mandoc is not installed"
fi

if command -v systemd-analyze >/dev/null; then
  mkdir -p "$work/units/wg-quick@.service.d"
  printf '#!/bin/sh\n' >"$work/hatsd-user"
  chmod +x "$work/hatsd-user"
  fill() { sed "s,/[^ =]*/hatsd-user \(up\|reload\),$work/hatsd-user \1," "$1"; }
  fill "$build/tools/packaging/hatsd-user@.service" >"$work/units/hatsd-user@.service"
  cp "$build/tools/packaging/wg-quick@.service.d/hatsd-user.conf" "$work/units/wg-quick@.service.d/"
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
examples=$source/tools/packaging/examples
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

[ $ran = 1 ] || exit 77
exit $failed
