"""Jaeger's query APIs: what Grafana's Jaeger source and Jaeger's UI ask for, over spans of the OpenTelemetry SDK and of Zipkin."""

import json
import time
import urllib.parse

import pytest

from conftest import free_port, http_get, wait_for
from shop_traces import HOSTILE, get_json, send_otel, send_zipkin, zipkin_span

ENVELOPE = {"total": 0, "limit": 0, "offset": 0, "errors": None}


@pytest.fixture
def jaeger(start):
    port = free_port()
    skein = start(None, ["--jaeger-port", str(port)])
    skein.jaeger = port
    return skein


def bases(skein):
    """Below a path of the query port, and at the root of a port of its own."""
    return [(skein.ports["zipkin"], "/jaeger"), (skein.jaeger, "")]


def query(**parameters):
    return "?" + urllib.parse.urlencode(parameters, doseq=True)


def test_an_empty_store_answers_empty_lists(jaeger):
    for port, base in bases(jaeger):
        assert get_json(port, f"{base}/api/services") == {"data": [], **ENVELOPE}
        assert get_json(port, f"{base}/api/services/nobody/operations") == {"data": [], **ENVELOPE}
        assert get_json(port, f"{base}/api/operations?service=nobody") == {"data": [], **ENVELOPE}
        assert get_json(port, f"{base}/api/traces?service=nobody") == {"data": [], **ENVELOPE}
        assert get_json(port, f"{base}/api/dependencies?endTs={int(time.time() * 1000)}&lookback=86400000") == {"data": [], **ENVELOPE}
        assert get_json(port, f"{base}/api/v3/services") == {"services": []}
        assert get_json(port, f"{base}/api/v3/operations?service=nobody") == {"operations": []}
        assert get_json(port, f"{base}/api/v3/trace-summaries") == {"summaries": []}


def test_an_unknown_trace_is_404_in_each_apis_envelope(jaeger):
    for port, base in bases(jaeger):
        v1 = get_json(port, f"{base}/api/traces/77", status=404)
        assert v1 == {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": 404, "msg": "trace not found"}]}
        assert get_json(port, f"{base}/api/v3/traces/77", status=404) == {"error": {"httpCode": 404, "message": "trace not found"}}
        assert get_json(port, f"{base}/api/v3/traces", status=404)["error"]["message"] == "No traces found"
        assert get_json(port, f"{base}/api/traces/xyz", status=400)["errors"][0]["code"] == 400


def test_a_trace_of_the_sdk_reads_as_jaeger_writes_it(jaeger):
    trace_id = send_otel(jaeger)
    port, base = jaeger.jaeger, ""
    assert get_json(port, "/api/services")["data"] == ["cart", "web"]
    assert get_json(port, "/api/services")["total"] == 2
    assert get_json(port, "/api/services/web/operations")["data"] == ["call cart", "get /checkout"]
    assert {o["name"] for o in get_json(port, "/api/operations?service=cart")["data"]} == {"post /cart"}

    answer = get_json(port, f"/api/traces/{trace_id}")
    assert {key: answer[key] for key in ENVELOPE} == ENVELOPE
    (trace,) = answer["data"]
    assert trace["traceID"] == trace_id and len(trace["spans"]) == 3
    spans = {span["operationName"]: span for span in trace["spans"]}
    root, client, server = spans["get /checkout"], spans["call cart"], spans["post /cart"]
    assert root["references"] == []
    assert client["references"] == [{"refType": "CHILD_OF", "traceID": trace_id, "spanID": root["spanID"]}]
    assert server["references"] == [
        {"refType": "CHILD_OF", "traceID": trace_id, "spanID": client["spanID"]},
        {"refType": "FOLLOWS_FROM", "traceID": "0000000000000abc", "spanID": "0000000000000def"},
    ]
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in server["tags"]}
    assert tags["span.kind"] == ("string", "server")
    assert tags["http.response.status_code"] == ("int64", 503)
    assert tags["error"] == ("bool", True)
    assert tags["otel.status_code"] == ("string", "ERROR") and tags["otel.status_description"] == ("string", "cart is gone")
    assert tags["otel.scope.name"] == ("string", "shop.lib")
    assert {t["key"]: t["value"] for t in client["tags"]}["shop.paid"] is False
    (log,) = server["logs"]
    fields = {field["key"]: field["value"] for field in log["fields"]}
    assert fields == {"event": "exception", "exception.type": "Timeout", "n": 2}
    assert server["startTime"] <= log["timestamp"] <= server["startTime"] + server["duration"]
    assert server["duration"] >= 20_000 and abs(server["startTime"] / 1e6 - time.time()) < 60
    assert server["warnings"] is None and trace["warnings"] is None
    process = trace["processes"][server["processID"]]
    assert process["serviceName"] == "cart"
    assert {"key": "host.name", "type": "string", "value": "h1"} in process["tags"]
    assert trace["processes"][root["processID"]]["serviceName"] == "web"
    links = get_json(port, f"/api/dependencies?endTs={int(time.time() * 1000) + 1000}&lookback=3600000")["data"]
    assert links == [{"parent": "web", "child": "cart", "callCount": 1}]


def test_searches_of_grafana_find_what_they_ask_for(jaeger):
    """Grafana's source sends service, operation, tags as a JSON object, durations as Go writes them, limit."""
    trace_id = send_otel(jaeger)
    now = int(time.time() * 1_000_000)
    send_zipkin(jaeger, [zipkin_span("b", "1", "web", "get /other", now, tags={"http.status_code": "200"})])

    def found(**parameters):
        got = []
        for port, base in bases(jaeger):
            got.append([trace["traceID"] for trace in get_json(port, f"{base}/api/traces{query(**parameters)}")["data"]])
        assert got[0] == got[1]
        return got[0]

    other = "000000000000000b"
    assert sorted(found(service="web", limit=20)) == sorted([trace_id, other])
    assert found(service="cart") == [trace_id]
    assert found(service="WEB", operation="get /other") == [other]
    assert found(service="cart", tags=json.dumps({"error": "true"})) == [trace_id]
    # All of it must be true of one span: the failed one is the cart's.
    assert found(service="web", tags=json.dumps({"error": "true"})) == []
    assert found(service="cart", tags=json.dumps({"error": "true", "http.response.status_code": "503"})) == [trace_id]
    assert found(service="cart", tag="http.response.status_code:503") == [trace_id]
    assert found(service="cart", tags=json.dumps({"span.kind": "server"})) == [trace_id]
    assert found(service="cart", tags=json.dumps({"span.kind": "client"})) == []
    assert found(service="web", minDuration="15ms") == [trace_id]
    assert found(service="web", maxDuration="5ms") == [other]
    assert found(service="web", minDuration="1h") == []
    assert len(found(service="web", limit=1)) == 1
    assert found(service="web", start=now - 10_000_000, end=now - 9_000_000) == []
    assert sorted(found(service="web", start=now - 60_000_000, end=now + 60_000_000, lookback="custom")) == sorted([trace_id, other])
    assert sorted(found(service="web", lookback="1h")) == sorted([trace_id, other])
    assert sorted(found(traceID=[trace_id, "b", "77"])) == sorted([trace_id, other])


@pytest.mark.parametrize(
    "path, text",
    [
        ("/api/traces", "parameter 'service' is required"),
        ("/api/operations", "parameter 'service' is required"),
        ("/api/traces?service=a&limit=ten", "'limit'"),
        ("/api/traces?service=a&start=soon", "'start'"),
        ("/api/traces?service=a&minDuration=5", "'minDuration': expected a duration such as 1.5s"),
        ("/api/traces?service=a&minDuration=5s&maxDuration=1s", "'maxDuration' should be greater than 'minDuration'"),
        ("/api/traces?service=a&tags={", "'tags': expected an object of texts"),
        ("/api/traces?service=a&tag=nocolon", "'tag': write key:value"),
        ("/api/v3/traces?query.startTimeMin=yesterday", "'query.startTimeMin': expected a time"),
        ("/api/v3/traces?query.filter={}", "query.filter is not supported"),
        ("/api/v3/trace-summaries?query.durationMin=5", "'query.durationMin'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_parameter(jaeger, path, text):
    answer = get_json(jaeger.jaeger, path, status=400)
    message = answer["errors"][0]["msg"] if "errors" in answer else answer["error"]["message"]
    assert text in message


def test_v3_answers_in_otlp(jaeger):
    """Both spellings of the parameters, and times that are not escaped, as Grafana sends them."""
    trace_id = send_otel(jaeger)
    port = jaeger.jaeger
    assert get_json(port, "/api/v3/services") == {"services": ["cart", "web"]}
    assert [o["name"] for o in get_json(port, "/api/v3/operations?service=web")["operations"]] == ["call cart", "get /checkout"]
    since = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 600))
    until = time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime(time.time() + 600))
    for search in (
        f"query.service_name=cart&query.start_time_min={since}&query.start_time_max={until}&query.num_traces=5",
        f"query.serviceName=cart&query.operationName=post%20/cart&query.startTimeMin={since}&query.startTimeMax={until}&query.durationMin=1ms",
        "query.serviceName=cart&query.attributes=" + urllib.parse.quote(json.dumps({"error": "true"})),
    ):
        result = get_json(port, f"/api/v3/traces?{search}")["result"]
        spans = [span for r in result["resourceSpans"] for s in r["scopeSpans"] for span in s["spans"]]
        assert {span["traceId"] for span in spans} == {trace_id} and len(spans) == 3
    resources = get_json(port, f"/api/v3/traces/{trace_id}")["result"]["resourceSpans"]
    cart = next(r for r in resources if {"key": "service.name", "value": {"stringValue": "cart"}} in r["resource"]["attributes"])
    (span,) = cart["scopeSpans"][0]["spans"]
    assert cart["scopeSpans"][0]["scope"] == {"name": "shop.lib", "version": "0.9"}
    assert span["kind"] == 2 and span["status"] == {"message": "cart is gone", "code": 2}
    assert {"key": "http.response.status_code", "value": {"intValue": "503"}} in span["attributes"]
    assert span["links"][0]["traceId"] == "0" * 29 + "abc" and span["links"][0]["attributes"][0]["value"] == {"stringValue": "retry"}
    (summary,) = get_json(port, "/api/v3/trace-summaries?query.serviceName=web")["summaries"]
    assert summary["traceId"] == trace_id and summary["rootServiceName"] == "web" and summary["rootOperationName"] == "get /checkout"
    assert (summary["spanCount"], summary["errorSpanCount"], summary["orphanSpanCount"]) == (3, 1, 0)
    assert summary["services"] == [{"name": "cart", "spanCount": 1, "errorSpanCount": 1}, {"name": "web", "spanCount": 2, "errorSpanCount": 0}]
    assert int(summary["maxEndTimeUnixNano"]) - int(summary["minStartTimeUnixNano"]) >= 20_000_000


def test_shared_spans_of_zipkin_have_two_ids(jaeger):
    now = int(time.time() * 1_000_000)
    send_zipkin(
        jaeger,
        [
            zipkin_span("c", "1", "web", "get", now, kind="CLIENT"),
            zipkin_span("c", "1", "api", "get", now + 10, kind="SERVER", shared=True),
            zipkin_span("c", "2", "api", "select", now + 20, parentId="1", annotations=[{"timestamp": now + 30, "value": "cache.miss"}]),
        ],
    )
    (trace,) = get_json(jaeger.jaeger, "/api/traces/c")["data"]
    spans = {(trace["processes"][s["processID"]]["serviceName"], s["operationName"]): s for s in trace["spans"]}
    client, server, child = spans["web", "get"], spans["api", "get"], spans["api", "select"]
    assert client["spanID"] == "0000000000000001" and server["spanID"] != client["spanID"]
    assert server["references"][0]["spanID"] == client["spanID"] and child["references"][0]["spanID"] == server["spanID"]
    assert "shared" in server["warnings"][0]
    assert child["logs"] == [{"timestamp": now + 30, "fields": [{"key": "event", "type": "string", "value": "cache.miss"}]}]


def test_hostile_names_come_back_as_they_are(jaeger):
    now = int(time.time() * 1_000_000)
    send_zipkin(jaeger, [zipkin_span("d", "1", "a/b c%", HOSTILE.lower(), now, tags={HOSTILE: HOSTILE})])
    for port, base in bases(jaeger):
        (service,) = get_json(port, f"{base}/api/services")["data"]
        assert service == "a/b c%"
        (operation,) = get_json(port, f"{base}/api/services/{urllib.parse.quote(service, safe='')}/operations")["data"]
        assert operation == HOSTILE.lower()
        (trace,) = get_json(port, f"{base}/api/traces{query(service=service, operation='')}")["data"]
        assert {t["key"]: t["value"] for t in trace["spans"][0]["tags"]}[HOSTILE] == HOSTILE
        get_json(port, f"{base}/api/v3/traces?query.serviceName={urllib.parse.quote(service)}")


def test_its_own_port_answers_nothing_else(jaeger):
    for path in ("/", "/api/v2/traces", "/jaeger/api/services", "/metrics", "/api/v1/query?query=up", "/tempo/api/echo"):
        status, _, body = http_get(jaeger.jaeger, path)
        assert status == 404 and b"Jaeger" in body, path
    status, _, _ = http_get(jaeger.jaeger, "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body="[]")
    assert status == 404
    status, _, _ = http_get(jaeger.jaeger, "/api/services", method="POST", body="{}")
    assert status == 405
    assert f"Jaeger 127.0.0.1:{jaeger.jaeger}" in jaeger.log()


def test_a_limit_that_is_too_great_is_cut_at_the_bound(jaeger):
    now = int(time.time() * 1_000_000)
    send_zipkin(jaeger, [zipkin_span(format(n + 1, "x"), "1", "many", "op", now - n) for n in range(1600)])
    wait_for(lambda: get_json(jaeger.jaeger, "/api/services")["data"] == ["many"], what="the spans")
    assert len(get_json(jaeger.jaeger, "/api/traces?service=many&limit=999999999")["data"]) == 1500
    assert len(get_json(jaeger.jaeger, "/api/traces?service=many")["data"]) == 100
