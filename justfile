set shell := ["bash", "-euo", "pipefail", "-c"]

# `just` lists what there is.
_:
    @just --list --unsorted

# the tests, on all cores: just test tests/test_layers.py -x
test *arguments:
    python -m pytest {{ arguments }}

# style and form; `ruff check --fix` and `ruff format` mend most of it
lint:
    ruff check .
    ruff format --check .
    check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

# types
types:
    mypy --strict lenet5_cli

# the pages of docs/, live on http://127.0.0.1:8000
docs:
    NO_MKDOCS_2_WARNING=1 mkdocs serve --strict

# small changes, drawn at random, to engine, training, storage and data: the tests must notice each
mutants count="120" seed="1":
    mutmut run lenet5_cli.engine.losses.x_softmax__mutmut_1 # makes them all, and finds the tests of each function
    mutmut results --all true | grep -oP 'lenet5_cli[^: ]+' \
        | python -c 'import random, sys; random.seed({{ seed }}); print(*random.sample(sorted(sys.stdin), {{ count }}), sep="")' \
        | xargs mutmut run

# the changes that no test noticed in time
survivors:
    mutmut results | grep -oP 'lenet5_cli[^: ]+(?=: (survived|no tests|timeout|suspicious|segfault))' | xargs -n 1 mutmut show

# seconds of training and inference against peers that are installed
bench *arguments:
    python benchmarks/speed.py {{ arguments }}

# all that must pass before a merge
ci:
    .ci/run
