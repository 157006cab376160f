"""Tempo's API, as Grafana's Tempo source asks for it, over spans of the OpenTelemetry SDK and of Zipkin."""

import json
import time
import urllib.parse

import pytest

from conftest import free_port, http_get
from shop_traces import HOSTILE, get_json, send_otel, send_zipkin, zipkin_span


@pytest.fixture
def tempo(start):
    port = free_port()
    skein = start(None, ["--tempo-port", str(port)])
    skein.tempo = port
    return skein


def bases(skein):
    return [(skein.ports["zipkin"], "/tempo"), (skein.tempo, "")]


def span_range():
    """Grafana sends both ends always, in seconds."""
    return {"start": int(time.time()) - 3600, "end": int(time.time()) + 3600}


def search(skein, status=200, **parameters):
    port, base = skein.tempo, ""
    path = f"{base}/api/search?" + urllib.parse.urlencode({**span_range(), **parameters})
    got, _, body = http_get(port, path, {"Accept": "application/json"})
    assert got == status, (got, body)
    return json.loads(body) if status == 200 else body.decode()


def found(skein, **parameters):
    return [trace["traceID"] for trace in search(skein, **parameters)["traces"]]


def test_an_empty_store_answers(tempo):
    for port, base in bases(tempo):
        status, _, body = http_get(port, f"{base}/api/echo")
        assert (status, body) == (200, b"echo")
        assert get_json(port, f"{base}/api/status/buildinfo")["version"]
        assert get_json(port, f"{base}/api/search?q=%7B%7D") == {"traces": [], "metrics": {"inspectedTraces": 0, "inspectedBytes": "0"}}
        assert get_json(port, f"{base}/api/search/tags")["tagNames"]
        assert get_json(port, f"{base}/api/v2/search/tags")["scopes"][0] == {"name": "resource", "tags": []}
        assert get_json(port, f"{base}/api/v2/search/tag/resource.service.name/values")["tagValues"] == []
        # Grafana asks v2 first, and v1 when that is 404.
        for version in ("/v2", ""):
            status, _, body = http_get(port, f"{base}/api{version}/traces/77", {"Accept": "application/protobuf"})
            assert (status, body) == (404, b"trace not found")
        assert http_get(port, f"{base}/api/v2/traces/xyz")[0] == 400


def test_a_trace_is_protobuf_or_json(tempo):
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    trace_id = send_otel(tempo)
    window = urllib.parse.urlencode(span_range())
    for port, base in bases(tempo):
        status, fields, body = http_get(port, f"{base}/api/traces/{trace_id}?{window}", {"Accept": "application/protobuf"})
        assert status == 200 and fields["content-type"] == "application/protobuf"
        data = TracesData.FromString(body)
        spans = {span.name: span for r in data.resource_spans for s in r.scope_spans for span in s.spans}
        assert set(spans) == {"get /checkout", "call cart", "post /cart"}
        cart = spans["post /cart"]
        assert cart.trace_id.hex() == trace_id and cart.parent_span_id == spans["call cart"].span_id
        assert cart.kind == 2 and cart.status.code == 2 and cart.status.message == "cart is gone"
        assert cart.end_time_unix_nano - cart.start_time_unix_nano >= 20_000_000
        assert {a.key: a.value.int_value for a in cart.attributes}["http.response.status_code"] == 503
        assert cart.events[0].name == "exception" and cart.links[0].trace_id.hex().endswith("abc")
        resource = next(r for r in data.resource_spans if any(a.value.string_value == "cart" for a in r.resource.attributes))
        assert {a.key for a in resource.resource.attributes} >= {"service.name", "service.version", "host.name"}
        assert resource.scope_spans[0].scope.name == "shop.lib"

        # TraceByIDResponse: the trace is field 1.
        status, _, wrapped = http_get(port, f"{base}/api/v2/traces/{trace_id}?{window}", {"Accept": "application/protobuf"})
        assert status == 200
        assert wrapped[0] == 0x0A
        length, at, shift = 0, 1, 0
        while True:
            length |= (wrapped[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if wrapped[at - 1] < 0x80:
                break
        assert length == len(wrapped) - at and TracesData.FromString(wrapped[at:]) == data

        v2 = get_json(port, f"{base}/api/v2/traces/{trace_id.upper()}")
        assert v2["status"] == "COMPLETE"
        kinds = {s["name"]: s["kind"] for r in v2["trace"]["resourceSpans"] for q in r["scopeSpans"] for s in q["spans"]}
        assert kinds == {"get /checkout": "SPAN_KIND_SERVER", "call cart": "SPAN_KIND_CLIENT", "post /cart": "SPAN_KIND_SERVER"}
        assert get_json(port, f"{base}/api/traces/{trace_id}")["batches"] == v2["trace"]["resourceSpans"]


def test_a_search_shows_the_spans_that_matched(tempo):
    trace_id = send_otel(tempo)
    answer = search(tempo, q='{resource.service.name="cart" && status=error}', limit=20, spss=3)
    (trace,) = answer["traces"]
    assert trace["traceID"] == trace_id and trace["rootServiceName"] == "web" and trace["rootTraceName"] == "get /checkout"
    assert trace["durationMs"] >= 20 and abs(int(trace["startTimeUnixNano"]) / 1e9 - time.time()) < 60
    assert trace["spanSets"] == [trace["spanSet"]] and trace["spanSet"]["matched"] == 1
    (span,) = trace["spanSet"]["spans"]
    assert span["name"] == "post /cart" and int(span["durationNanos"]) >= 20_000_000 and len(span["spanID"]) == 16
    assert span["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "cart"}},
        {"key": "status", "value": {"stringValue": "error"}},
    ]
    assert trace["serviceStats"] == {"cart": {"spanCount": 1, "errorCount": 1}, "web": {"spanCount": 2}}
    assert answer["metrics"]["inspectedTraces"] == 1
    assert len(search(tempo, q="{}", spss=2)["traces"][0]["spanSet"]["spans"]) == 2
    assert len(search(tempo, q="{}", spss=0)["traces"][0]["spanSet"]["spans"]) == 3
    assert search(tempo, q="{}", spss=1)["traces"][0]["spanSet"]["matched"] == 3


def test_selectors_find_what_they_say(tempo):
    shop = send_otel(tempo)
    now = int(time.time() * 1_000_000)
    send_zipkin(
        tempo,
        [
            zipkin_span("b", "1", "api", "get /slow", now, duration=2_000_000, kind="SERVER", tags={"http.status_code": "200", "zone": "eu-1"}),
            zipkin_span("b", "2", "api", "select", now, parentId="1", kind="CLIENT", tags={"zone": "us-1"}),
            zipkin_span("e", "1", "api", "get /bad", now, tags={"error": "timeout", "http.status_code": "504"}),
        ],
    )
    slow, bad = "000000000000000b", "000000000000000e"
    for query, expected in [
        ("{}", [shop, slow, bad]),
        ("{ true }", [shop, slow, bad]),
        ('{ name = "GET /Slow" }', [slow]),
        ('{ name =~ "get /.*" }', [shop, slow, bad]),
        ('{ name !~ "get.*" }', [shop, slow]),
        ("{ duration > 1s }", [slow]),
        ("{ duration >= 2s && duration <= 2000ms }", [slow]),
        ("{ status = error }", [shop, bad]),
        ("{ status != error && kind = server }", [shop, slow]),
        ("{ kind = client }", [shop, slow]),
        ('{ resource.service.name = "api" && .http.status_code >= 500 }', [bad]),
        ('{ resource.service.name = "api" || resource.service.name = "cart" }', [shop, slow, bad]),
        ("{ span.http.status_code = 200 }", [slow]),
        ('{ span.http.status_code = "200" }', [slow]),
        ('{ .zone =~ "eu-.*" }', [slow]),
        # Of one span alone.
        ('{ .zone = "us-1" && kind = server }', []),
        ('{ .zone = "us-1" } && { kind = server }', [slow]),
        ('{ .zone = "nowhere" } || { .error = true }', [shop, bad]),
        ("{ .zone != nil }", [slow]),
        ('{ .zone != "eu-1" }', [slow]),
        ('{ rootServiceName = "web" }', [shop]),
        ('{ rootName = "get /bad" && duration < 1s }', [bad]),
        ("{ nestedSetParent < 0 && status = error }", [bad]),
        ("{ traceDuration > 1s }", [slow]),
        ('{ statusMessage = "cart is gone" }', [shop]),
        ("{ .shop.paid = false }", [shop]),
        ("{ .shop.items > 2.5 }", [shop]),
        ('{ resource.host.name = "h1" }', [shop]),
    ]:
        assert sorted(found(tempo, q=query)) == sorted(expected), query
    assert found(tempo, q="{}", limit=1) and len(found(tempo, q="{}", limit=1)) == 1
    # The older form: logfmt and the trace's duration.
    assert found(tempo, tags="service.name=api error=true") == [bad]
    assert sorted(found(tempo, tags='service.name=api name="get /slow"')) == [slow]
    assert found(tempo, tags="service.name=api", minDuration="1s") == [slow]
    assert found(tempo, tags="service.name=api", maxDuration="1s") == [bad]
    # Where nothing but the time says no.
    assert found(tempo, q="{}", start=1_000_000_000, end=1_000_003_600) == []


@pytest.mark.parametrize(
    "query, place, text",
    [
        ("{ status = error } | count() > 2", 20, "pipelines (|) are not supported"),
        ("{ status = error } >> { kind = server }", 20, 'the structural operator ">>" is not supported'),
        ("{} &>> {}", 4, 'the structural operator "&>>" is not supported'),
        ("{} | rate()", 4, "pipelines"),
        ("{ event.exception.type = \"x\" }", 3, "is not supported; there is resource.x"),
        ("{ parent.duration > 1s }", 3, "is not supported"),
        ("{ status = bad }", 12, "expected ok, error or unset"),
        ("{ duration > 100 }", 14, "expected a duration such as 100ms"),
        ("{ duration > 1parsec }", 14, "neither a number nor a duration"),
        ("{ name = unquoted }", 10, "expected a string in quotes"),
        ('{ name =~ "(" }', 11, "the regular expression is none"),
        ("{ status = error", 17, 'expected "}"'),
        ("{ .a = \"b }", 8, "has no end"),
        ("{ .a }", 6, "expected one of = != =~"),
        ("status = error", 1, "expected a selector"),
        ("{} with (most_recent=true)", 4, "hints (with) are not supported"),
        ("{ !(.a = 1) }", 3, "not supported before a field"),
        ("{ # }", 3, "is nothing of TraceQL"),
    ],
)
def test_what_is_not_supported_is_named_with_its_place(tempo, query, place, text):
    answer = search(tempo, status=400, q=query)
    assert answer.startswith(f"TraceQL, character {place}: ") and text in answer, answer


@pytest.mark.parametrize(
    "parameters, text",
    [
        ({"q": "{}", "tags": "a=b"}, "can't specify tags and q in the same query"),
        ({"limit": "0", "q": "{}"}, "invalid limit: must be a positive number"),
        ({"limit": "ten", "q": "{}"}, "invalid limit: expected a whole number"),
        ({"start": "20", "end": "10", "q": "{}"}, "start must be before end"),
        ({"tags": "a=b a=c"}, 'tag "a" has been set twice'),
        ({"tags": 'a="b'}, "a quoted value has no end"),
        ({"tags": "a=b", "minDuration": "fast"}, "invalid minDuration"),
        ({"tags": "a=b", "minDuration": "2s", "maxDuration": "1s"}, "invalid maxDuration"),
    ],
)
def test_parameters_that_cannot_be_read_are_refused(tempo, parameters, text):
    assert text in search(tempo, status=400, **parameters)


def test_a_limit_beyond_the_bound_says_that_it_was_cut(tempo):
    now = int(time.time() * 1_000_000)
    send_zipkin(tempo, [zipkin_span(format(n + 1, "x"), "1", "many", "op", now - n) for n in range(1600)])
    status, fields, body = http_get(tempo.tempo, "/api/search?q=%7B%7D&limit=2000")
    assert status == 200 and len(json.loads(body)["traces"]) == 1500
    assert "limit=2000 is more than the 1500 traces of one answer" in fields["warning"]


def test_tags_and_values_for_completion(tempo):
    send_otel(tempo)
    now = int(time.time() * 1_000_000)
    send_zipkin(tempo, [zipkin_span("b", "1", "api", "get /slow", now, tags={"zone": "eu-1", HOSTILE: HOSTILE})])
    for port, base in bases(tempo):
        window = "limit=5000&" + urllib.parse.urlencode(span_range())
        scopes = {s["name"]: s["tags"] for s in get_json(port, f"{base}/api/v2/search/tags?{window}")["scopes"]}
        assert {"service.name", "service.version", "host.name"} <= set(scopes["resource"])
        assert {"zone", "shop.items", HOSTILE} <= set(scopes["span"]) and "zone" not in scopes["resource"]
        assert {"name", "duration", "status", "kind", "rootName", "rootServiceName"} <= set(scopes["intrinsic"])
        only = get_json(port, f"{base}/api/v2/search/tags?scope=span")["scopes"]
        assert [s["name"] for s in only] == ["span"]
        assert http_get(port, f"{base}/api/v2/search/tags?scope=other")[0] == 400
        assert "zone" in get_json(port, f"{base}/api/search/tags")["tagNames"]

        def values(tag, query=""):
            path = f"{base}/api/v2/search/tag/{urllib.parse.quote(tag)}/values?{window}{query}"
            return [(v["type"], v["value"]) for v in get_json(port, path)["tagValues"]]

        assert values("resource.service.name") == [("string", "api"), ("string", "cart"), ("string", "web")]
        assert values("span.shop.items") == [("int", "3")]
        assert values("span.shop.paid") == [("bool", "false")]
        assert values("status") == [("keyword", "unset"), ("keyword", "ok"), ("keyword", "error")]
        assert ("keyword", "server") in values("kind")
        assert ("string", "get /slow") in values("name")
        assert values(".zone") == [("string", "eu-1")]
        # What the other filters leave; what is being typed is no query yet and leaves everything.
        assert values("name", "&q=" + urllib.parse.quote('{ resource.service.name = "api" }')) == [("string", "get /slow")]
        assert len(values("name", "&q=" + urllib.parse.quote("{ resource.service.name = }"))) == 4
        assert http_get(port, f"{base}/api/v2/search/tag/zone/values")[0] == 400
        assert get_json(port, f"{base}/api/search/tag/service.name/values")["tagValues"] == ["api", "cart", "web"]
        assert get_json(port, f"{base}/api/search/tag/zone/values")["tagValues"] == ["eu-1"]


def test_its_own_port_answers_nothing_else(tempo):
    for path in ("/", "/api/v2/traces", "/tempo/api/echo", "/metrics", "/jaeger/api/services", "/api/v2/services"):
        status, _, body = http_get(tempo.tempo, path)
        assert status == 404 and b"Tempo" in body, path
    assert http_get(tempo.tempo, "/v1/traces", {"Content-Type": "application/json"}, method="POST", body="{}")[0] == 405
    assert http_get(tempo.tempo, "/api/metrics/query_range?q=%7B%7D")[0] == 404
    assert f"Tempo 127.0.0.1:{tempo.tempo}" in tempo.log()
