#!/bin/sh
# Makes the peers' environments, .peers/distilabel, .peers/curator, .peers/dedupe, .peers/trl and
# .peers/lm_eval, with pinned versions.
#
#     sh benchmarks/peers/setup.sh [PYTHON]
set -eu
python=${1:-python3.11}
here=$(dirname "$0")
peers=$here/../../.peers
for name in distilabel curator dedupe trl lm_eval; do
  "$python" -m venv "$peers/$name"
  "$peers/$name/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/$name.txt"
done
