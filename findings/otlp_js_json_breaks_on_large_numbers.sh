#!/usr/bin/env bash
# @opentelemetry/exporter-trace-otlp-http 0.223.1 (OTLP as JSON) beside exporter-trace-otlp-proto 0.223.1 (npm): attributes that
# are numbers, sent with both, and read with the protobuf library that the format is defined by (opentelemetry-proto, PyPI).
#
# guess: both say the same: doubleValue for what does not fit into 64 bits, and "NaN" and "Infinity" as texts, as protobuf's JSON
#        wants them.
# seen:  protobuf does. As JSON, a large whole number becomes {"intValue":1e+21}, and the reader refuses the whole request, with
#        every span in it; NaN and Infinity become null, an attribute without a value.
# so:    with the JSON exporter one attribute of one span (2 ** 64 as a limit or a hash) can cost the batch that it is in: use the
#        protobuf exporter, or make texts of such numbers.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages @opentelemetry/exporter-trace-otlp-http@0.223.1 @opentelemetry/exporter-trace-otlp-proto@0.223.1 \
  @opentelemetry/sdk-trace-base@2.12.1 @opentelemetry/api@1.9.1
python_packages opentelemetry-proto==1.45.2 protobuf==7.36.2
run_node <<'NODE'
const { writeFileSync } = require("node:fs");
const http = require("node:http");
const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const exporters = {
    json: require("@opentelemetry/exporter-trace-otlp-http").OTLPTraceExporter,
    protobuf: require("@opentelemetry/exporter-trace-otlp-proto").OTLPTraceExporter,
};
const numbers = { whole: 5, half: 2.5, large: 2 ** 64, larger: -1e21, "not a number": NaN, infinite: Infinity };

(async () => {
    let arrived;
    const server = http.createServer(async (request, response) => {
        const parts = [];
        for await (const part of request) parts.push(part);
        response.end();
        arrived(Buffer.concat(parts));
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${server.address().port}/v1/traces`;
    const requests = [];
    for (const [format, Exporter] of Object.entries(exporters)) {
        for (const [name, value] of Object.entries(numbers)) {
            const body = new Promise((resolve) => (arrived = resolve));
            const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new Exporter({ url }))] });
            provider.getTracer("find").startSpan("find", { attributes: { value } }).end();
            requests.push([format, name, (await body).toString("base64")]);
            await provider.shutdown();
        }
    }
    writeFileSync(`${process.env.FIND_FOLDER}/requests.json`, JSON.stringify(requests));
    process.exit();
})();
NODE
run_python <<'PYTHON'
import base64
import json
import os

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from find import seen


def value(format, body):
    """The only attribute's value as the library prints it; the error's name if it refuses the request."""
    try:
        if format == "json":
            request = json_format.Parse(body, ExportTraceServiceRequest())
        else:
            request = ExportTraceServiceRequest.FromString(body)
    except json_format.ParseError as error:
        return type(error).__name__
    (attribute,) = request.resource_spans[0].scope_spans[0].spans[0].attributes
    return str(attribute.value).strip()


with open(os.path.join(os.environ["FIND_FOLDER"], "requests.json")) as file:
    found = {(format, name): value(format, base64.b64decode(body)) for format, name, body in json.load(file)}
for name, as_json, as_protobuf in (
    ("whole", "int_value: 5", "int_value: 5"),
    ("half", "double_value: 2.5", "double_value: 2.5"),
    ("large", "ParseError", "double_value: 1.8446744073709552e+19"),
    ("larger", "ParseError", "double_value: -1e+21"),
    ("not a number", "", "double_value: nan"),
    ("infinite", "", "double_value: inf"),
):
    seen(f"{name}, json and protobuf", (found["json", name], found["protobuf", name]), (as_json, as_protobuf))
PYTHON
