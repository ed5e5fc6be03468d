#!/bin/sh
# Install the newest wheel of dist/ into an empty environment in an empty folder, and replay the bundled clip there.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
wheel=$(ls -t "$root"/dist/*.whl | head -n 1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$root/.venv/bin/python" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$wheel"
venv/bin/usassist replay demo --out session --overlay-video
venv/bin/python -c "from usassist.app.bench.contract import load_contract; load_contract()"
venv/bin/usassist doctor
