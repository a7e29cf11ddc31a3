# Makes the project's own virtual environment in .venv, and installs into it again only when what it is made from changed.
# Sourced by the other scripts with the name of the extra requirements they need: . environment.sh test
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Klausel needs Python 3.11 or later; name it, for example: PYTHON=python3.12 $0" >&2
  exit 1
fi
stamp=$root/.venv/installed-$1
made_from="$root $("$python" -c 'import sys; print(sys.version)') $(cat "$root/setup.cfg" "$root/pyproject.toml")"
if [ ! -x "$root/.venv/bin/python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$made_from" ]; then
  echo "Setting up the virtual environment in .venv (only when requirements change) ..." >&2
  "$python" -m venv "$root/.venv"
  "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root[$1]" >&2
  printf '%s' "$made_from" >"$stamp"
fi
export PATH="$root/.venv/bin:$PATH" VIRTUAL_ENV="$root/.venv"
