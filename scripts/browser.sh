# Installs Debian's Chromium, which tests/browser drives, unless it is there. Sourced by scripts/test.
if ! command -v chromium > /dev/null; then
  echo "Installing Chromium …" >&2
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } > /dev/null || {
    echo "Chromium could not be installed, and tests/browser needs it: apt-get install chromium, as root." >&2
    exit 1
  }
fi
