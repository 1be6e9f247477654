# Makes .venv with the locked requirements and this checkout, unless it is there and up to date. Sourced by the other scripts.
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Milepost needs Python 3.11 or newer; $("$python" --version) found. Say which one with PYTHON=…" >&2
  exit 1
}
stamp=$(cat requirements.lock pyproject.toml 2>/dev/null | cksum)
if [ "$(cat .venv/stamp 2>/dev/null)" != "$stamp" ]; then
  echo "Installing Milepost into .venv …" >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  [ -f requirements.lock ] && .venv/bin/pip install -qq --require-hashes -r requirements.lock
  .venv/bin/pip install -qq --no-deps --editable .
  echo "$stamp" > .venv/stamp
fi
