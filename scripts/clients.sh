# Installs the clients that tests drive, unless they are there; without one its tests are skipped. Sourced by scripts/test.
# A new one is a line at the end.
debian() { # a command, the package that brings it
  command -v "$1" > /dev/null && return
  echo "Installing $2 …" >&2
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$2"; } > /dev/null ||
    echo "$2 could not be installed, so tests that need it are skipped: apt-get install $2, as root." >&2
}
debian node nodejs
debian curl curl
debian jq jq
debian go golang-go
