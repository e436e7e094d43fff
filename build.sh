#!/usr/bin/env bash
# Builds everything, each step only when its inputs changed:
#
#   ./build.sh             the executable dist/dqlite
#   ./build.sh library     the tools, the packages and the SQLite library build/libsqlite3.so
#   ./build.sh programs    the C test programs and the C benchmark, in build/tests
#   ./build.sh test [...]  all of it, then the tests: `bun test` with the arguments
#   ./build.sh ok          the type checks, the linter and the formatter
#
# CC chooses the C compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly BUN_PINNED=1.4.5
readonly SQLITE_DIR=ffi/sqlite3
readonly CACHE=build/cache
readonly SQLITE_FLAGS=(
  -DSQLITE_THREADSAFE=2
  -DSQLITE_ENABLE_FTS5
  -DSQLITE_ENABLE_RTREE
  -DSQLITE_ENABLE_GEOPOLY
  -DSQLITE_ENABLE_MATH_FUNCTIONS
  -DSQLITE_ENABLE_STAT4
  -DSQLITE_ENABLE_SESSION
  -DSQLITE_ENABLE_PREUPDATE_HOOK
  -DSQLITE_ENABLE_DBSTAT_VTAB
  -DSQLITE_ENABLE_DBPAGE_VTAB
  -DSQLITE_ENABLE_COLUMN_METADATA
  -DSQLITE_ENABLE_SNAPSHOT
  -DSQLITE_MAX_VARIABLE_NUMBER=250000
  # A WAL that grew beyond this is cut when it begins anew.
  -DSQLITE_DEFAULT_JOURNAL_SIZE_LIMIT=67108864
  # A sync need not write the time of the last change. Elsewhere the call is not declared.
  $([[ $(uname) == Linux ]] && echo -DHAVE_FDATASYNC=1)
)
readonly REPLICATION_FLAG=-DSQLITE_ENABLE_WAL_REPLICATION
# SQLite's own code is compiled without warnings turned on: they are its authors' business.
readonly RELEASE_FLAGS=(-O2 -fPIC -g0)
readonly SANITIZERS=(
  -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
)

say() { printf '%s\n' "build.sh: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# --- hashes ---------------------------------------------------------------------------------------

sha256_of() {
  if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# A short hash of standard input.
digest() { sha256_of | cut -c 1-16; }

# A short hash of files: names and content.
digest_files() { sha256_of "$@" | digest; }

# --- tools ----------------------------------------------------------------------------------------

# True if a version like 1.10.2 is at least 1.4.
is_bun_new_enough() {
  local major minor
  IFS=. read -r major minor _ <<<"$1"
  [[ $major =~ ^[0-9]+$ && $minor =~ ^[0-9]+$ ]] && ((major > 1 || (major == 1 && minor >= 4)))
}

require_bun() {
  local version
  if command -v bun >/dev/null && version=$(bun --version 2>/dev/null) &&
    is_bun_new_enough "$version"; then
    return
  fi
  export PATH="$PWD/.tools/node_modules/.bin:$PATH"
  if [[ -x .tools/node_modules/.bin/bun ]] &&
    [[ $(.tools/node_modules/.bin/bun --version 2>/dev/null) == "$BUN_PINNED" ]]; then
    return
  fi
  command -v npm >/dev/null ||
    fail "Bun 1.4 or newer is needed: install it (https://bun.sh), or install npm (Debian and" \
      "Ubuntu: apt-get install npm) and run this again."
  say "installing bun $BUN_PINNED into .tools/"
  npm install --silent --no-audit --no-fund --no-save --prefix .tools "bun@$BUN_PINNED" >&2 ||
    fail "npm could not install bun $BUN_PINNED."
  bun --version >/dev/null || fail "the installed bun does not run on this machine."
}

require_compiler() {
  local name
  for name in ${CC:+"$CC"} cc gcc clang; do
    if command -v "$name" >/dev/null; then
      COMPILER=$name
      return
    fi
  done
  fail "a C compiler is needed: install gcc or clang (Debian and Ubuntu: apt-get install gcc" \
    "libc6-dev; Alpine: apk add gcc musl-dev; macOS: xcode-select --install)."
}

require_packages() {
  local stamp=node_modules/.build-stamp want
  want=$(digest_files package.json bun.lock)
  if [[ -f $stamp && $(<"$stamp") == "$want" ]]; then return; fi
  say "installing packages"
  bun install --frozen-lockfile >&2
  printf '%s\n' "$want" >"$stamp"
}

# --- SQLite ---------------------------------------------------------------------------------------

amalgamation_dir() {
  printf 'node_modules/%s\n' "$(awk '$1 == "package" { print $2 }' "$SQLITE_DIR/VERSION")"
}

# Sets VANILLA: a folder with SQLite as it was released, checked against VERSION.
require_amalgamation() {
  VANILLA=$(amalgamation_dir)
  [[ -f $VANILLA/sqlite3.c ]] || fail "$VANILLA/sqlite3.c is missing: run 'bun install'."
  awk 'length($1) == 64' "$SQLITE_DIR/VERSION" |
    (cd "$VANILLA" && sha256_of -c - >/dev/null 2>&1) ||
    fail "$VANILLA does not match the hashes in $SQLITE_DIR/VERSION."
}

# Sets PATCHED: a folder with SQLite after the patches.
require_patched() {
  local part file
  PATCHED=$CACHE/sqlite-$(digest_files "$SQLITE_DIR/VERSION" "$SQLITE_DIR"/*.patch)
  if [[ -d $PATCHED ]]; then return; fi
  require_amalgamation
  part=$PATCHED.$$
  mkdir -p "$part"
  cp "$VANILLA/sqlite3.c" "$VANILLA/sqlite3.h" "$part/"
  for file in "$SQLITE_DIR"/*.patch; do
    apply_patch "$part" "$PWD/$file"
  done
  mv -T "$part" "$PATCHED" 2>/dev/null || mv "$part" "$PATCHED"
}

apply_patch() {
  # A repository above would make git apply ignore paths outside of it.
  if command -v git >/dev/null; then
    (cd "$1" && GIT_DIR=/nonexistent git apply --whitespace=nowarn "$2") ||
      fail "$2 does not apply to this version of SQLite."
  elif command -v patch >/dev/null; then
    (cd "$1" && patch -p1 --quiet <"$2") || fail "$2 does not apply to this version of SQLite."
  else
    fail "git or patch is needed to patch SQLite: install one of them."
  fi
}

# compile NAME SOURCE INPUTS FLAGS...: compiles SOURCE into a cached object and sets OBJECT. INPUTS is
# a list of further files whose content counts.
compile() {
  local name=$1 source=$2 inputs=$3
  shift 3
  # shellcheck disable=SC2086
  OBJECT=$CACHE/$name-$({
    printf '%s\n' "$COMPILER" "$@"
    digest_files "$source" $inputs
  } | digest).o
  if [[ -f $OBJECT ]]; then return; fi
  say "compiling $name"
  "$COMPILER" "$@" -c "$source" -o "$OBJECT.$$" || fail "$source does not compile."
  mv "$OBJECT.$$" "$OBJECT"
}

# compile_library NAME FLAGS...: compiles SQLite and our C files, sets OBJECTS.
compile_library() {
  local name=$1 file base
  shift
  compile "sqlite3-$name" "$PATCHED/sqlite3.c" "$(echo "$SQLITE_DIR"/replication*.[ch])" \
    "$@" "${SQLITE_FLAGS[@]}" "$REPLICATION_FLAG" -I "$PATCHED" -I "$SQLITE_DIR"
  OBJECTS=("$OBJECT")
  for file in "$SQLITE_DIR"/*.c; do
    base=$(basename "$file" .c)
    # The amalgamation includes these.
    [[ $base == replication* ]] && continue
    compile "$base-$name" "$file" "$(echo "$SQLITE_DIR"/*.h)" \
      "$@" -Wall -Wextra -I "$PATCHED" -I "$SQLITE_DIR"
    OBJECTS+=("$OBJECT")
  done
}

library_inputs() {
  printf '%s\n' "${CC:-}" "$OSTYPE" "$BUN_PINNED"
  digest_files build.sh package.json bun.lock "$SQLITE_DIR"/VERSION "$SQLITE_DIR"/*.patch \
    "$SQLITE_DIR"/*.[ch]
}

# The path of the library that belongs to the present inputs.
library_file() { printf 'build/libsqlite3-%s.so\n' "$(library_inputs | digest)"; }

build_library() {
  local file
  require_bun
  require_packages
  file=$(library_file)
  if [[ ! -f $file ]]; then
    require_compiler
    mkdir -p "$CACHE"
    require_patched
    compile_library release "${RELEASE_FLAGS[@]}"
    say "linking $file"
    "$COMPILER" -shared -s -o "$file.$$" "${OBJECTS[@]}" -lm -lpthread -ldl ||
      fail "the SQLite library does not link."
    mv "$file.$$" "$file"
  fi
  if [[ $(readlink build/libsqlite3.so) != "$(basename "$file")" ]]; then
    ln -sfn "$(basename "$file")" "build/libsqlite3.so.$$"
    mv -f "build/libsqlite3.so.$$" build/libsqlite3.so
  fi
}

# --- C programs -----------------------------------------------------------------------------------

# Sets CHECKED_FLAGS: assertions on, and the sanitizers if the compiler has them.
choose_checked_flags() {
  local probe=$CACHE/probe.$$
  CHECKED_FLAGS=(-O1 -g -DSQLITE_DEBUG "${SANITIZERS[@]}")
  if ! printf 'int main(void){return 0;}\n' |
    "$COMPILER" "${SANITIZERS[@]}" -x c - -o "$probe" 2>/dev/null || ! "$probe"; then
    say "$COMPILER has no working sanitizers: the checked programs have assertions only"
    CHECKED_FLAGS=(-O1 -g -DSQLITE_DEBUG)
  fi
  rm -f "$probe"
}

# link_program VARIANT SOURCE FLAGS...: links a program of ffi/sqlite3/tests with OBJECTS.
link_program() {
  local variant=$1 source=$2 name target want
  shift 2
  name=$(basename "$source" .c)
  target=build/tests/$variant/$name
  want=$({
    printf '%s\n' "$COMPILER" "$@" "${OBJECTS[@]}"
    digest_files "$source" "$SQLITE_DIR"/tests/*.h "$SQLITE_DIR"/*.h
  } | digest)
  if [[ -x $target && -f $target.hash && $(<"$target.hash") == "$want" ]]; then return; fi
  say "compiling $target"
  mkdir -p "build/tests/$variant"
  "$COMPILER" "$@" -Wall -Wextra -Wno-unused-function -I "$PATCHED" -I "$SQLITE_DIR" \
    "$source" "${OBJECTS[@]}" -o "$target.$$" -lm -lpthread -ldl || fail "$source does not compile."
  mv "$target.$$" "$target"
  printf '%s\n' "$want" >"$target.hash"
}

build_programs() {
  local source
  require_compiler
  mkdir -p "$CACHE"
  require_patched
  require_amalgamation
  choose_checked_flags
  compile_library release "${RELEASE_FLAGS[@]}"
  for source in "$SQLITE_DIR"/tests/*.c; do
    link_program release "$source" -O2
  done
  compile_library checked "${CHECKED_FLAGS[@]}"
  for source in "$SQLITE_DIR"/tests/*_test.c; do
    link_program checked "$source" "${CHECKED_FLAGS[@]}"
  done
  compile sqlite3-vanilla "$VANILLA/sqlite3.c" "$VANILLA/sqlite3.h" \
    "${RELEASE_FLAGS[@]}" "${SQLITE_FLAGS[@]}" -I "$VANILLA"
  OBJECTS=("$OBJECT")
  link_program vanilla "$SQLITE_DIR/tests/script.c" -O2
}

# --- the executable -------------------------------------------------------------------------------

build_executable() {
  local entries=(ffi/embed_bun.ts lib/session/worker.ts) stamp=build/executable-stamp want file
  for file in "${entries[@]}" cli.ts; do
    if [[ ! -f $file ]]; then
      say "$file does not exist yet: dist/dqlite is not built"
      return
    fi
  done
  want=$({
    bun --version
    library_inputs
    find mod.ts cli.ts ffi lib -name '*.ts' -print0 2>/dev/null | sort -z | xargs -0 cat
  } | digest)
  if [[ -x dist/dqlite && -f $stamp && $(<"$stamp") == "$want" ]]; then return; fi
  say "packing the demo's data set"
  bun lib/demo/pack_cities.ts build/cities.bin >&2 || fail "the demo's data set cannot be packed."
  say "compiling dist/dqlite"
  mkdir -p dist
  # With bytecode nothing is parsed at the start: that is more than half of a short command's time.
  bun build --compile --target=bun --bytecode --format=esm "${entries[@]}" \
    --outfile "dist/dqlite.$$" >&2 ||
    fail "dist/dqlite does not compile."
  mv "dist/dqlite.$$" dist/dqlite
  printf '%s\n' "$want" >"$stamp"
}

# --- checks ---------------------------------------------------------------------------------------

run_checks() {
  local entries=() file status=0
  export PATH="$PWD/node_modules/.bin:$PATH"
  for file in mod.ts cli.ts; do
    if [[ -f $file ]]; then entries+=("$file"); else say "$file does not exist yet"; fi
  done
  tsc --noEmit -p tsconfig.json || status=1
  if ((${#entries[@]})); then deno check "${entries[@]}" || status=1; fi
  deno lint || status=1
  deno fmt --check || status=1
  return "$status"
}

# --- the command line -----------------------------------------------------------------------------

# One build at a time in this checkout.
lock() {
  mkdir -p build
  exec 9>build/.lock
  if command -v flock >/dev/null; then flock 9; fi
}

unlock() { exec 9>&-; }

main() {
  local command=${1:-executable}
  if (($#)); then shift; fi
  lock
  case $command in
    executable)
      build_library
      build_executable
      ;;
    library)
      build_library
      ;;
    programs)
      build_library
      build_programs
      ;;
    test)
      build_library
      build_executable
      build_programs
      unlock
      bun test "${@:-tests}"
      ;;
    ok)
      build_library
      unlock
      run_checks
      ;;
    *)
      fail "unknown command '$command': use library, programs, test, ok or nothing."
      ;;
  esac
}

main "$@"
