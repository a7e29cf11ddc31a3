# Makes the project's own virtual environment in .venv, and installs into it again only when what it is made from changed.
# Sourced by the other scripts with the name of the extra requirements they need: . environment.sh test
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Klausel needs Python 3.11 or later; name it, for example: PYTHON=python3.12 $0" >&2
  exit 1
fi
stamp=$root/.venv/installed-$1
version=$root/.venv/made-by
made_by="$root $("$python" -c 'import sys; print(sys.version)')"
made_from=$(cat "$root/setup.cfg" "$root/pyproject.toml")
# Of two scripts that are started in a new clone at the same time one makes it, and the other waits until it is there.
if command -v flock >/dev/null; then
  exec 9<"$root"
  flock 9
fi
if [ ! -x "$root/.venv/bin/python" ] || [ "$(cat "$version" 2>/dev/null)" != "$made_by" ]; then
  echo "Setting up the virtual environment in .venv (once) ..." >&2
  if ! "$python" -m venv --clear "$root/.venv"; then
    echo "$python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2
    exit 1
  fi
  printf '%s' "$made_by" >"$version"
fi
if [ "$(cat "$stamp" 2>/dev/null)" != "$made_from" ]; then
  echo "Installing what scripts/$(basename "$0") needs into .venv (again only when requirements change) ..." >&2
  if ! "$root/.venv/bin/python" -m pip install -qq --no-compile --disable-pip-version-check --editable "$root[$1]" >&2; then
    echo "That failed; the lines above say why. Where they speak of files in .venv, remove that folder and try again." >&2
    exit 1
  fi
  printf '%s' "$made_from" >"$stamp"
fi
# What the script starts must not keep the lock for as long as it runs.
exec 9<&-
export PATH="$root/.venv/bin:$PATH" VIRTUAL_ENV="$root/.venv"
# Images of containers set this to stay small. Here each of thousands of processes would compile the package again.
unset PYTHONDONTWRITEBYTECODE
