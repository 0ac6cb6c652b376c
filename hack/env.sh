# Source this to work in the project's Python environment: . hack/env.sh
_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
_venv=$("$_top/hack/venv") || return 1
export PATH="$_venv/bin:$PATH" PYTHONPATH="$_top/operator:$_top${PYTHONPATH:+:$PYTHONPATH}"
unset _top _venv
