#!/usr/bin/env bash
# Helm 4 (PyPI helm-python-sdk 0.2.2): whole numbers of values.yaml in a configuration that `toToml` writes.
#
# guess: 50000 becomes 50000.0 and 1000000 becomes 1000000.0, since values are floats inside of Helm; in plain text both stay whole.
# seen:  50000.0, but 1e+06; and in plain text {{ .Values.n }} is 1e+06 from a million on, where toYaml and toJson write 1000000. A
#        server that wants a whole number refuses such a file.
# so:    take a configuration in TOML as a text from the values, or put each number through int; toToml is for texts and switches.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages helm-python-sdk==0.2.2
run_python <<'PYTHON'
import os
import pathlib
import tomllib

import helm_python

from find import seen

chart = pathlib.Path(os.environ["FIND_FOLDER"], "chart")
(chart / "templates").mkdir(parents=True)
(chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 0.1.0\n")
(chart / "values.yaml").write_text("config: { small: 50000, large: 1000000, text: x }\n")
for name, template in {
    "toml": "{{ .Values.config | toToml }}", "json": "{{ .Values.config | toJson }}", "text": "{{ .Values.config.small }} {{ .Values.config.large }}",
    "int": "{{ int .Values.config.large }}",
}.items():
    (chart / "templates" / f"{name}.yaml").write_text(template)

written = {path.split("/")[-1]: text.strip() for path, text in helm_python.Chart.load(chart).render(name="name").items()}
config = tomllib.loads(written["toml.yaml"])
seen("types in TOML", {key: type(value).__name__ for key, value in config.items()}, {"large": "float", "small": "float", "text": "str"})
seen("as TOML", written["toml.yaml"], 'large = 1e+06\nsmall = 50000.0\ntext = "x"')
seen("as JSON", written["json.yaml"], '{"large":1000000,"small":50000,"text":"x"}')
seen("as text", written["text.yaml"], "50000 1e+06")
seen("through int", written["int.yaml"], "1000000")
PYTHON
