# The sections of ./test, in the order they run: what each checks, how long it may take (seconds), and how.

# Exit status of a section that could not be run here and says why.
SKIPPED=77

SECTIONS=(tools self-check fmt clippy layering package deny unit models docs targets release instructions differential fuzz autobahn interop forwarded cluster python browser hostile)
ON_REQUEST=(interop-reference python-reference autobahn-full advisories package-build)

declare -A ABOUT=(
  [tools]="what the checks need is installed"
  [self-check]="results are counted, and what fails is tried again"
  [fmt]="formatting"
  [clippy]="lints, with warnings as errors"
  [unit]="Rust tests"
  [models]="the hand-made concurrent protocols, in every order of their threads' steps"
  [docs]="documentation, with warnings as errors, its examples and links"
  [package]="what is to be published can be packaged, and the packages are complete"
  [deny]="licences and sources of dependencies, and which are forbidden"
  [targets]="the workspace's programs and libraries compile for macOS and Windows"
  [release]="release build of the workspace"
  [instructions]="the hot paths take no more instructions than recorded"
  [layering]="the protocol crates do no input, output, timing or logging"
  [differential]="packets decoded by Sockeye and by the official parsers"
  [fuzz]="each fuzz target for ten seconds"
  [autobahn]="WebSocket conformance, Autobahn|Testsuite"
  [interop]="official JavaScript clients, raw requests and attacks against Sockeye"
  [forwarded]="the same JavaScript suites, with each request sent to a node that must forward it"
  [cluster]="clusters of Sockeye and of Node.js servers over Redis, behind nginx and HAProxy"
  [python]="Python clients against Sockeye"
  [browser]="sockeye.js and the chat page, in Chromium and in Node"
  [hostile]="a server with little memory under attack: it stays up and serves others"
  [autobahn-full]="all cases of Autobahn|Testsuite"
  [advisories]="known holes in dependencies; needs the network"
  [package-build]="each package compiles on its own"
  [interop-reference]="the JavaScript suites against the official server"
  [python-reference]="the Python suites against the official server"
)

declare -A LIMIT=([tools]=900 [clippy]=1200 [unit]=2400 [models]=900 [docs]=1200 [release]=1800 [instructions]=1800 [targets]=1200 [package-build]=1800 [differential]=900 [fuzz]=1500 [autobahn]=1500 [autobahn-full]=3600)

section_tools() {
  command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
  cargo --version
  cargo fmt --version >/dev/null || fail "rustfmt is missing: rustup component add rustfmt"
  cargo clippy --version >/dev/null || fail "clippy is missing: rustup component add clippy"
  need_command cc build-essential
  need_command c++ build-essential
  need_command make build-essential
  need_command redis-server redis-server
  need_nats
  need_node
  echo "node $(node --version)"
  python_install testing/interop/python/requirements.txt
  .test/venv/bin/python --version
  local folder
  for folder in testing/*/package.json; do npm_install "${folder%/package.json}"; done
}

section_self_check() {
  need_node
  bash testing/lib/self-check
}

section_fmt() { cargo fmt --all --check; }

section_clippy() { cargo clippy --quiet --workspace --all-targets --features sockeye-server/full -- -D warnings; }

section_unit() {
  need_command redis-server redis-server
  need_nats
  # Without it cargo runs the tests, which takes longer.
  need_cargo_tool nextest "$NEXTEST" || true
  bash testing/lib/unit
}

section_models() { bash testing/lib/models; }

section_docs() {
  RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
  cargo test --quiet --workspace --features sockeye-server/full --no-fail-fast --doc
  python3 docs/check
}

section_release() { cargo build --quiet --release --workspace --features sockeye-server/full; }

section_instructions() {
  need_script bench/instructions/check
  need_command python3 python3
  (need_command valgrind valgrind) || skip "valgrind is missing and cannot be installed here"
  python3 bench/instructions/check
}

section_package() { python3 testing/lib/package; }

section_package_build() { python3 testing/lib/package --build; }

section_deny() {
  need_cargo_tool deny "$DENY"
  cargo deny --log-level error check bans licenses sources
}

section_advisories() {
  need_cargo_tool deny "$DENY"
  cargo deny --log-level error check advisories
}

section_targets() { bash testing/lib/targets; }

section_layering() {
  bash testing/lib/layering && testing/lib/cycles
}

section_differential() {
  need_script testing/differential/run
  npm_install testing/differential
  bash testing/differential/run
}

section_fuzz() {
  need_cargo_fuzz
  bash testing/lib/fuzz 10
}

section_autobahn() {
  need_script testing/autobahn/run
  need_node
  need_command openssl openssl
  need_command python3 python3 python3-venv
  bash testing/autobahn/run "$@"
}

section_autobahn_full() { section_autobahn --full takeover; }

section_interop() {
  build_release interop-server
  build_release example-engine-echo
  TARGET_CMD=$release/interop-server ENGINE_ECHO=$release/example-engine-echo section_interop_reference engine/echo.test.mjs
}

section_forwarded() {
  build_release interop-server
  TARGET_CMD="$release/interop-server --forwarded" section_interop_reference
}

section_interop_reference() {
  npm_install testing/interop
  cd testing/interop
  bash ../lib/node-tests -- js/*.test.mjs "$@"
}

section_cluster() {
  need_command redis-server redis-server
  need_nats
  need_command nginx nginx-light
  need_command haproxy haproxy
  need_command openssl openssl
  build_release interop-server
  build_release sockeye
  npm_install testing/interop
  python_install testing/interop/cluster/python/requirements.txt .test/venv-emitter
  local python=$PWD/.test/venv-emitter/bin/python
  cd testing/interop
  TARGET_CMD=$release/interop-server SOCKEYE_BIN=$release/sockeye EMITTER_PYTHON=$python \
    bash ../lib/node-tests --test-concurrency=1 -- cluster/*.test.mjs
}

section_python() {
  build_release interop-server
  TARGET_CMD=$release/interop-server section_python_reference
}

section_python_reference() {
  npm_install testing/interop
  python_install testing/interop/python/requirements.txt
  local python=$PWD/.test/venv/bin/python
  cd testing/interop/python
  "$python" -B -m pytest --quiet -rsfR --reruns 1 -p no:cacheprovider .
}

section_browser() {
  need_script testing/browser/package.json
  build_release sockeye
  npm_install testing/browser
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || need_packages chromium
  cd testing/browser
  SOCKEYE_BIN=$release/sockeye bash ../lib/node-tests --test-concurrency=1 -- *.test.mjs
}

section_hostile() {
  need_command prlimit util-linux
  need_command openssl openssl
  build_release interop-server
  build_release sockeye
  npm_install testing/hostile
  testing/hostile/run --short --server "$release/sockeye" --interop-server "$release/interop-server"
}
