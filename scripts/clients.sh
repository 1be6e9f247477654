# Installs the products' own clients, which tests/http/dialects drives, into .clients/, unless they are there. Sourced by
# scripts/test. What can't be installed is said, and the tests that need it are skipped; in CI they fail.
client() { # NAME VERSION COMMAND …: has the command fill .clients/NAME
  local name=$1 version=$2 folder=.clients/$1
  shift 2
  [ "$(cat "$folder/version" 2> /dev/null)" = "$version" ] && return
  echo "Installing $name $version …" >&2
  rm -rf "$folder" && mkdir -p "$folder"
  if "$@" > "$folder/log" 2>&1; then
    echo "$version" > "$folder/version"
  else
    echo "$name could not be installed, and its tests are skipped. $folder.log says why." >&2
    mv "$folder/log" "$folder.log" && rm -rf "$folder"
  fi
}
from_pypi() { "$python" -m venv ".clients/$1" && ".clients/$1/bin/pip" install --quiet "${@:2}"; }
from_npm() { npm install --no-audit --no-fund --prefix ".clients/$1" "${@:2}"; }
if ! command -v npm > /dev/null; then
  echo "Installing Node …" >&2
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends nodejs npm; } > /dev/null 2>&1 || true
fi

client aparavi-node 1.3.3 from_npm aparavi-node aparavi-dtc-node-sdk@1.3.3
client aparavi-python 1.1.1 from_pypi aparavi-python aparavi-dtc-sdk==1.1.1 requests==2.34.2 colorama==0.4.6
