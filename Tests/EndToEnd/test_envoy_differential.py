"""The same requests through Skein and through Envoy 1.40, configured as istiod would: what differs is either a mistake or stands in `DIFFERENCES` with its reason."""

import collections
import fnmatch
import http.client
import math
import signal
import socket

import pytest

from conftest import Skein, free_port, wait_for
from envoy_peer import (
    HTTP2, LABELS, ONE_EACH, REQUEST_IGNORED, ZONE, BlackHole, Case, Envoy, Held, ScriptedBackend, ScriptedH2Backend, Side, cluster, differences, kept, together)

# --- Routes: each host's rules in Istio's YAML, and what istiod's translation of them is ------------------------------------

DEFAULT_RETRY = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled", "num_retries": 2, "host_selection_retry_max_attempts": 5,
    "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
}


def retries(on, count, codes=(), per_try=None):
    policy = {**DEFAULT_RETRY, "retry_on": on, "num_retries": count, "retry_back_off": {"base_interval": "0.001s"}}
    if codes:
        policy["retriable_status_codes"] = list(codes)
    if per_try:
        policy["per_try_timeout"] = per_try
    return policy


def rule(match=None, to="web", name=None, filters=None, **more):
    """An Envoy route: to a cluster, or (`to=None`) with the action in `more`."""
    made = {"match": {"prefix": "/", **(match or {})}}
    if match and ("path" in match or "safe_regex" in match):
        del made["match"]["prefix"]
    if name:
        made["name"] = name
    if filters:
        made["typed_per_filter_config"] = filters
    action = {key: more.pop(key) for key in list(more) if key.startswith(("request_headers", "response_headers"))}
    made.update(action)
    if to is None:
        return {**made, **more}
    timeout = more.pop("timeout", "0s")
    made["route"] = {k: v for k, v in {"timeout": timeout, "max_grpc_timeout": timeout, "retry_policy": DEFAULT_RETRY, **more}.items() if v is not None}
    if isinstance(to, str):
        made["route"]["cluster"] = to
    else:
        made["route"]["weighted_clusters"] = {"clusters": to}
    return made


def says(text, **match):
    """A rule that only tells that it was taken."""
    return rule(match, to=None, direct_response={"status": 200, "body": {"inline_string": text}})


def regex(text):
    return {"regex": text}


def field(name, invert=False, **how):
    made = {"name": name}
    if how.pop("present", False):
        made["present_match"] = True
    else:
        made["string_match"] = {key: regex(value) if key == "safe_regex" else value for key, value in how.items()}
        if invert:
            made["treat_missing_header_as_empty"] = True
    if invert:
        made["invert_match"] = True
    return made


def parameter(name, **how):
    if how.pop("present", False):
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": {key: regex(value) if key == "safe_regex" else value for key, value in how.items()}}


def sets(name, value):
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def adds(name, value):
    return {"header": {"key": name, "value": value}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}


def fault(**what):
    return {"envoy.filters.http.fault": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", **what}}


def cors(**policy):
    return {"envoy.filters.http.cors": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy", "forward_not_matching_preflights": True,
        "filter_enabled": {"default_value": {"numerator": 100}}, **policy}}


def share(percent):
    return {"numerator": int(percent * 10000), "denominator": "MILLION"}


CORS_YAML = """corsPolicy: {allowOrigins: [{exact: "https://good.example"}, {prefix: "https://pre."}, {regex: "https://[a-z]+[.]re[.]example"}],
      allowMethods: [GET, POST], allowHeaders: [x-token, x-other], exposeHeaders: [x-total, x-page], maxAge: 24h, allowCredentials: true}"""
CORS_ENVOY = dict(
    allow_origin_string_match=[{"exact": "https://good.example"}, {"prefix": "https://pre."}, {"safe_regex": regex("https://[a-z]+[.]re[.]example")}],
    allow_methods="GET,POST", allow_headers="x-token,x-other", expose_headers="x-total,x-page", max_age="86400", allow_credentials=True)


def told(text, match):
    return f"  - match: [{match}]\n    directResponse: {{status: 200, body: {{string: {text}}}}}\n"


LAST = "  - directResponse: {status: 200, body: {string: none}}\n"
WEB = "    route: [{destination: {host: web.local}}]\n"
ALL = "  - route: [{destination: {host: web.local}}]\n"
OWN_REQUEST = ["x-forwarded-proto", "x-request-id", "x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms"]
OPERATIONS_YAML = """request: {set: {x-set: %(who)s, x-only-%(who)s: "1"}, add: {x-add: %(who)s, x-cross: %(who)s}, remove: [x-drop-%(who)s, x-gone]}
        response: {set: {x-res: %(who)s}, add: {x-res-add: %(who)s}, remove: [x-secret-%(who)s]}"""


def operations(who):
    return {
        "request_headers_to_add": [sets(f"x-only-{who}", "1"), sets("x-set", who), adds("x-add", who), adds("x-cross", who)],
        "request_headers_to_remove": [f"x-drop-{who}", "x-gone"],
        "response_headers_to_add": [sets("x-res", who), adds("x-res-add", who)], "response_headers_to_remove": [f"x-secret-{who}"],
    }


def joined(*parts):
    found = {}
    for part in parts:
        for key, value in part.items():
            found[key] = found.get(key, []) + value
    return found


def yaml_operations(who, indent):
    return (OPERATIONS_YAML % {"who": who}).replace("\n        ", "\n" + " " * indent)


def retry_host(on, count=2, codes=(), per_try=None, timeout=None, to="web", host="web.local", envoy_on=None):
    """A host whose only rule retries."""
    text = f"  - retries: {{attempts: {count}, retryOn: '{on}', backoff: 1ms{f', perTryTimeout: {per_try}' if per_try else ''}}}\n"
    if timeout:
        text += f"    timeout: {timeout}\n"
    more = {"timeout": timeout} if timeout else {}
    return text + f"    route: [{{destination: {{host: {host}}}}}]\n", [rule(to=to, retry_policy=retries(envoy_on or on, count, codes, per_try), **more)]


# name of the host -> (Istio's rules, Envoy's routes)
HOSTS = {
    "plain.local": (ALL, [rule()]),
    "kept.local": ("  - route: [{destination: {host: keeps.local}}]\n", [rule(to="keeps")]),
    "paths.local": (
        told("exact", "{uri: {exact: /exact}}") + told("prefix", "{uri: {prefix: /pre}}") + told("regex", '{uri: {regex: "/re/[0-9]+"}}')
        + told("icase-prefix", "{uri: {prefix: /CaSe}, ignoreUriCase: true}") + told("icase-exact", "{uri: {exact: /EXact-I}, ignoreUriCase: true}")
        + told("icase-regex", '{uri: {regex: "/RE-[a-z]+"}, ignoreUriCase: true}') + told("slash", "{uri: {prefix: /dir/}}") + LAST,
        [says("exact", path="/exact"), says("prefix", prefix="/pre"), says("regex", safe_regex=regex("/re/[0-9]+")),
         says("icase-prefix", prefix="/CaSe", case_sensitive=False), says("icase-exact", path="/EXact-I", case_sensitive=False),
         says("icase-regex", safe_regex=regex("/RE-[a-z]+"), case_sensitive=False), says("slash", prefix="/dir/"), says("none")]),
    "headers.local": (
        told("exact", "{headers: {x-e: {exact: one}}}") + told("prefix", '{headers: {x-p: {prefix: "on"}}}') + told("regex", '{headers: {x-r: {regex: "a.*b"}}}')
        + told("present", "{headers: {x-present: {}}}") + told("both", "{headers: {x-1: {exact: a}, x-2: {exact: b}}}")
        + told("without", '{uri: {prefix: /wo}, withoutHeaders: {x-no: {exact: "no"}}}') + told("absent", "{uri: {prefix: /ab}, withoutHeaders: {x-no: {}}}")
        + told("noregex", '{uri: {prefix: /nr}, withoutHeaders: {x-no: {regex: ".*"}}}') + LAST,
        [says("exact", headers=[field("x-e", exact="one")]), says("prefix", headers=[field("x-p", prefix="on")]),
         says("regex", headers=[field("x-r", safe_regex="a.*b")]), says("present", headers=[field("x-present", present=True)]),
         says("both", headers=[field("x-1", exact="a"), field("x-2", exact="b")]),
         says("without", prefix="/wo", headers=[field("x-no", invert=True, exact="no")]),
         says("absent", prefix="/ab", headers=[field("x-no", invert=True, present=True)]),
         says("noregex", prefix="/nr", headers=[field("x-no", invert=True, safe_regex=".*")]), says("none")]),
    "query.local": (
        told("exact", "{queryParams: {e: {exact: one}}}") + told("prefix", '{queryParams: {p: {prefix: "on"}}}') + told("regex", '{queryParams: {r: {regex: "[0-9]+"}}}')
        + told("present", "{queryParams: {here: {}}}") + told("empty", '{queryParams: {none: {exact: ""}}}') + LAST,
        [says("exact", query_parameters=[parameter("e", exact="one")]), says("prefix", query_parameters=[parameter("p", prefix="on")]),
         says("regex", query_parameters=[parameter("r", safe_regex="[0-9]+")]), says("present", query_parameters=[parameter("here", present=True)]),
         says("empty", query_parameters=[parameter("none", exact="")]), says("none")]),
    "methods.local": (
        told("put", "{method: {exact: PUT}}") + told("posts", '{method: {regex: "P(OST|ATCH)"}}') + told("scheme", "{scheme: {exact: https}}") + LAST,
        [says("put", headers=[field(":method", exact="PUT")]), says("posts", headers=[field(":method", safe_regex="P(OST|ATCH)")]),
         says("scheme", headers=[field(":scheme", exact="https")]), says("none")]),
    "pathfield.local": (
        told("path", '{headers: {":path": {regex: "/a[?]x=.*"}}}') + LAST,
        [says("path", headers=[field(":path", safe_regex="/a[?]x=.*")]), says("none")]),
    "*.wild.local": (
        told("bare", '{authority: {exact: "a.wild.local"}}') + told("port", '{authority: {exact: "a.wild.local:8080"}}')
        + told("regex", '{authority: {regex: "b[0-9][.]wild[.]local"}}') + LAST,
        [says("bare", headers=[field(":authority", exact="a.wild.local")]), says("port", headers=[field(":authority", exact="a.wild.local:8080")]),
         says("regex", headers=[field(":authority", safe_regex="b[0-9][.]wild[.]local")]), says("none")]),
    "*.deep.wild.local": (told("deep", "{uri: {prefix: /}}"), [says("deep")]),
    "own.deep.wild.local": (told("own", "{uri: {prefix: /}}"), [says("own")]),
    "rewrite.local": (
        "  - match: [{uri: {prefix: /api}}]\n    rewrite: {uri: /v2}\n" + WEB + "  - match: [{uri: {prefix: /strip/}}]\n    rewrite: {uri: /}\n" + WEB
        + "  - match: [{uri: {exact: /one}}]\n    rewrite: {uri: /two}\n" + WEB + '  - match: [{uri: {regex: "/re/.*"}}]\n    rewrite: {uri: /whole}\n' + WEB
        + "  - match: [{uri: {prefix: /ICase}, ignoreUriCase: true}]\n    rewrite: {uri: /low}\n" + WEB
        + "  - match: [{uri: {prefix: /users/}}]\n    rewrite: {uriRegexRewrite: {match: \"^/users/([0-9]+)/(.*)$\", rewrite: '/u/\\2/\\1'}}\n" + WEB
        + "  - match: [{uri: {prefix: /all}}]\n    rewrite: {uriRegexRewrite: {match: \"a\", rewrite: 'bb'}}\n" + WEB
        + "  - match: [{uri: {prefix: /host}}]\n    rewrite: {authority: other.local}\n" + WEB
        + "  - match: [{uri: {prefix: /sethost}}]\n    headers: {request: {set: {Host: set.local}}}\n" + WEB
        + "  - match: [{uri: {prefix: /bothhosts}}]\n    rewrite: {authority: other.local}\n    headers: {request: {set: {\":authority\": set.local}}}\n" + WEB
        + "  - rewrite: {uri: /x}\n" + WEB,
        [rule({"prefix": "/api"}, prefix_rewrite="/v2"), rule({"prefix": "/strip/"}, prefix_rewrite="/"), rule({"path": "/one"}, prefix_rewrite="/two"),
         rule({"safe_regex": regex("/re/.*")}, prefix_rewrite="/whole"), rule({"prefix": "/ICase", "case_sensitive": False}, prefix_rewrite="/low"),
         rule({"prefix": "/users/"}, regex_rewrite={"pattern": regex("^/users/([0-9]+)/(.*)$"), "substitution": "/u/\\2/\\1"}),
         rule({"prefix": "/all"}, regex_rewrite={"pattern": regex("a"), "substitution": "bb"}),
         rule({"prefix": "/host"}, host_rewrite_literal="other.local"), rule({"prefix": "/sethost"}, host_rewrite_literal="set.local"),
         rule({"prefix": "/bothhosts"}, host_rewrite_literal="other.local"), rule(prefix_rewrite="/x")]),
    "redirect.local": (
        "".join(f"  - match: [{{uri: {{prefix: /{code}}}}}]\n    redirect: {{uri: /to, redirectCode: {code}}}\n" for code in (301, 302, 303, 307, 308))
        + "  - match: [{uri: {prefix: /host}}]\n    redirect: {authority: new.local}\n  - match: [{uri: {prefix: /tls}}]\n    redirect: {scheme: https}\n"
        + "  - match: [{uri: {prefix: /port}}]\n    redirect: {port: 8443}\n  - match: [{uri: {prefix: /p80}}]\n    redirect: {port: 80}\n"
        + "  - match: [{uri: {prefix: /derive}}]\n    redirect: {derivePort: FROM_PROTOCOL_DEFAULT, scheme: https}\n"
        + "  - match: [{uri: {prefix: /request}}]\n    redirect: {derivePort: FROM_REQUEST_PORT, uri: /q}\n"
        + "  - match: [{uri: {prefix: /every}}]\n    redirect: {scheme: https, authority: new.local, port: 8443, uri: \"/fixed?own=1\", redirectCode: 302}\n"
        + "  - redirect: {uri: /default}\n    headers: {response: {set: {x-why: moved}}}\n",
        [*[rule({"prefix": f"/{code}"}, to=None, redirect={"path_redirect": "/to", "response_code": name}) for code, name in
           ((301, "MOVED_PERMANENTLY"), (302, "FOUND"), (303, "SEE_OTHER"), (307, "TEMPORARY_REDIRECT"), (308, "PERMANENT_REDIRECT"))],
         rule({"prefix": "/host"}, to=None, redirect={"host_redirect": "new.local", "path_redirect": ""}),
         rule({"prefix": "/tls"}, to=None, redirect={"scheme_redirect": "https", "path_redirect": ""}),
         rule({"prefix": "/port"}, to=None, redirect={"port_redirect": 8443, "path_redirect": ""}),
         rule({"prefix": "/p80"}, to=None, redirect={"path_redirect": ""}), rule({"prefix": "/derive"}, to=None, redirect={"scheme_redirect": "https", "path_redirect": ""}),
         rule({"prefix": "/request"}, to=None, redirect={"path_redirect": "/q"}),
         rule({"prefix": "/every"}, to=None, redirect={"scheme_redirect": "https", "host_redirect": "new.local", "port_redirect": 8443, "path_redirect": "/fixed?own=1",
                                                        "response_code": "FOUND"}),
         rule(to=None, redirect={"path_redirect": "/default"}, response_headers_to_add=[sets("x-why", "moved")])]),
    "direct.local": (
        "  - match: [{uri: {prefix: /empty}}]\n    directResponse: {status: 204}\n"
        + "  - match: [{uri: {prefix: /json}}]\n    directResponse: {status: 200, body: {string: '{}'}}\n    headers: {response: {set: {content-type: application/json}}}\n"
        + "  - directResponse: {status: 503, body: {string: closed}}\n    headers: {response: {set: {x-why: sunday}, add: {x-more: a}}}\n",
        [rule({"prefix": "/empty"}, to=None, direct_response={"status": 204}),
         rule({"prefix": "/json"}, to=None, direct_response={"status": 200, "body": {"inline_string": "{}"}},
              response_headers_to_add=[sets("content-type", "application/json")]),
         rule(to=None, direct_response={"status": 503, "body": {"inline_string": "closed"}}, response_headers_to_add=[sets("x-why", "sunday"), adds("x-more", "a")])]),
    "ops.local": (
        f"  - headers:\n      {yaml_operations('route', 6)}\n    route:\n    - destination: {{host: web.local}}\n      headers:\n        {yaml_operations('dest', 8)}\n",
        [rule(**joined(operations("route"), operations("dest")))]),
    "ops2.local": (
        f"  - headers:\n      {yaml_operations('route', 6)}\n    route:\n    - destination: {{host: web.local}}\n      weight: 100\n      headers:\n        {yaml_operations('dest', 8)}\n"
        "    - destination: {host: dead.local}\n      weight: 0\n    - destination: {host: web.local}\n      weight: 100\n      headers:\n        "
        f"{yaml_operations('dest', 8)}\n",
        [rule(to=[{"name": "web", "weight": 100, **operations("dest")}, {"name": "web", "weight": 100, **operations("dest")}], **operations("route"))]),
    "setadd.local": (
        "  - headers: {request: {add: {x-a: route}}}\n    route:\n    - destination: {host: web.local}\n      headers: {request: {set: {x-a: dest}, remove: [x-b]}}\n",
        [rule(request_headers_to_add=[adds("x-a", "route"), sets("x-a", "dest")], request_headers_to_remove=["x-b"])]),
    # What the proxy writes itself, and what the configuration says of that.
    "own.local": (
        "".join(f"  - match: [{{uri: {{prefix: /{path}}}}}]\n    timeout: 9s\n    headers: {{request: {{{request}}}, response: {{{response}}}}}\n{WEB}" for path, request, response in (
            ("set", "set: {%s}" % ", ".join(f"{n}: operator" for n in OWN_REQUEST), "set: {x-envoy-upstream-service-time: '5', content-type: text/x}"),
            ("remove", f"remove: [{', '.join(OWN_REQUEST)}]", "remove: [x-envoy-upstream-service-time]"),
            ("add", "add: {%s}" % ", ".join(f"{n}: operator" for n in OWN_REQUEST), "add: {x-envoy-upstream-service-time: '5'}"),
            ("made", "set: {x-a: '<%REQ(x-a)%>', x-b: '<%REQ(x-b)%>', x-forwarded-proto: '%REQ(x-forwarded-proto)%s'}, remove: [x-b]", "set: {x-res: '<%RESP(x-res)%>'}")))
        + "  - match: [{uri: {prefix: /moved}}]\n    redirect: {uri: /to}\n    headers: {response: {set: {location: /elsewhere}}}\n"
        + "  - headers: {response: {set: {content-type: text/x}, add: {x-more: a}}}\n    directResponse: {status: 200, body: {string: x}}\n",
        [rule({"prefix": "/set"}, timeout="9s", request_headers_to_add=[sets(n, "operator") for n in OWN_REQUEST],
              response_headers_to_add=[sets("x-envoy-upstream-service-time", "5"), sets("content-type", "text/x")]),
         rule({"prefix": "/remove"}, timeout="9s", request_headers_to_remove=OWN_REQUEST, response_headers_to_remove=["x-envoy-upstream-service-time"]),
         rule({"prefix": "/add"}, timeout="9s", request_headers_to_add=[adds(n, "operator") for n in OWN_REQUEST],
              response_headers_to_add=[adds("x-envoy-upstream-service-time", "5")]),
         rule({"prefix": "/made"}, timeout="9s", request_headers_to_remove=["x-b"], response_headers_to_add=[sets("x-res", "<%RESP(x-res)%>")], request_headers_to_add=[
             sets("x-a", "<%REQ(x-a)%>"), sets("x-b", "<%REQ(x-b)%>"), sets("x-forwarded-proto", "%REQ(x-forwarded-proto)%s")]),
         rule({"prefix": "/moved"}, to=None, redirect={"path_redirect": "/to"}, response_headers_to_add=[sets("location", "/elsewhere")]),
         rule(to=None, direct_response={"status": 200, "body": {"inline_string": "x"}}, response_headers_to_add=[sets("content-type", "text/x"), adds("x-more", "a")])]),
    "cors.local": ("  - " + CORS_YAML + "\n" + WEB, [rule(filters=cors(**CORS_ENVOY))]),
    "cors-ignore.local": (
        "  - " + CORS_YAML[:-1] + ", unmatchedPreflights: IGNORE}\n" + WEB, [rule(filters=cors(**{**CORS_ENVOY, "forward_not_matching_preflights": False}))]),
    "cors-any.local": (
        '  - corsPolicy: {allowOrigins: [{exact: "*"}], allowMethods: [GET]}\n' + WEB,
        [rule(filters=cors(allow_origin_string_match=[{"exact": "*"}], allow_methods="GET"))]),
    "cors-direct.local": (
        "  - " + CORS_YAML + "\n    directResponse: {status: 200, body: {string: direct}}\n",
        [rule(to=None, direct_response={"status": 200, "body": {"inline_string": "direct"}}, filters=cors(**CORS_ENVOY))]),
    "cors-fault.local": (
        "  - " + CORS_YAML + "\n    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}\n" + WEB,
        [rule(filters={**cors(**CORS_ENVOY), **fault(abort={"http_status": 418, "percentage": share(100)})})]),
    "abort.local": (
        "  - fault: {abort: {percentage: {value: 100}, httpStatus: 418}}\n    headers: {response: {set: {x-res: route}}}\n    retries: {attempts: 3, retryOn: 5xx}\n" + WEB,
        [rule(filters=fault(abort={"http_status": 418, "percentage": share(100)}), response_headers_to_add=[sets("x-res", "route")], retry_policy=retries("5xx", 3))]),
    "abort-grpc.local": (
        "  - fault: {abort: {percentage: {value: 100}, grpcStatus: UNAVAILABLE}}\n" + WEB, [rule(filters=fault(abort={"grpc_status": 14, "percentage": share(100)}))]),
    "abort-direct.local": (
        "  - fault: {abort: {percentage: {value: 100}, httpStatus: 418}}\n    directResponse: {status: 200, body: {string: direct}}\n",
        [rule(to=None, direct_response={"status": 200, "body": {"inline_string": "direct"}}, filters=fault(abort={"http_status": 418, "percentage": share(100)}))]),
    "abort-nowhere.local": (
        "  - fault: {abort: {percentage: {value: 100}, httpStatus: 418}}\n    route: [{destination: {host: web.local, subset: missing}}]\n",
        [rule(to="missing", filters=fault(abort={"http_status": 418, "percentage": share(100)}))]),
    "delay.local": (
        "  - fault: {delay: {percentage: {value: 100}, fixedDelay: 50ms}}\n" + WEB, [rule(filters=fault(delay={"fixed_delay": "0.050s", "percentage": share(100)}))]),
    "delay-abort.local": (
        "  - fault: {delay: {percentage: {value: 100}, fixedDelay: 50ms}, abort: {percentage: {value: 100}, httpStatus: 418}}\n" + WEB,
        [rule(filters=fault(delay={"fixed_delay": "0.050s", "percentage": share(100)}, abort={"http_status": 418, "percentage": share(100)}))]),
    "abort-some.local": (
        "  - fault: {abort: {percentage: {value: 30}, httpStatus: 418}}\n" + WEB, [rule(filters=fault(abort={"http_status": 418, "percentage": share(30)}))]),
    # Retries.
    "r5xx.local": retry_host("5xx"),
    "rgateway.local": retry_host("gateway-error"),
    "rreset.local": retry_host("reset"),
    "rconnect.local": retry_host("connect-failure"),
    "rconnect-dead.local": retry_host("connect-failure", to="dead", host="dead.local"),
    "r5xx-dead.local": retry_host("5xx", to="dead", host="dead.local"),
    "rgateway-dead.local": retry_host("gateway-error", to="dead", host="dead.local"),
    "rreset-dead.local": retry_host("reset", to="dead", host="dead.local"),
    "rrefused-dead.local": retry_host("refused-stream", to="dead", host="dead.local"),
    "rhalf-dead.local": retry_host("connect-failure", 5, to="half", host="half.local"),
    "r4xx.local": retry_host("retriable-4xx"),
    "rcodes.local": retry_host("418,503", codes=(418, 503), envoy_on="retriable-status-codes"),
    "rmixed.local": retry_host("connect-failure,refused-stream,429", codes=(429,), envoy_on="connect-failure,refused-stream,retriable-status-codes"),
    "rheaders.local": retry_host("retriable-headers"),
    "rlimited.local": retry_host("envoy-ratelimited"),
    "r5xx-zero.local": ("  - retries: {attempts: 0}\n" + WEB, [rule(retry_policy=None)]),
    "rbefore.local": retry_host("reset-before-request"),
    "pertry.local": retry_host("5xx", 2, per_try="0.400s"),
    "pertry-gateway.local": retry_host("gateway-error", 1, per_try="0.400s"),
    "pertry-reset.local": retry_host("reset", 2, per_try="0.400s"),
    "pertry-connect.local": retry_host("connect-failure", 2, per_try="0.400s"),
    "pertry-long.local": retry_host("5xx", 2, per_try="10s", timeout="0.300s"),
    "timeout.local": ("  - timeout: 0.3s\n" + WEB, [rule(timeout="0.300s")]),
    "timeout-retry.local": retry_host("5xx", 10, timeout="0.300s"),
    # Upstreams.
    "dead.local": ("  - retries: {attempts: 0}\n    headers: {response: {set: {x-res: route}}}\n    route: [{destination: {host: dead.local}}]\n",
                   [rule(to="dead", retry_policy=None, response_headers_to_add=[sets("x-res", "route")])]),
    "dead-default.local": ("  - route: [{destination: {host: dead.local}}]\n", [rule(to="dead")]),
    "empty.local": ("  - route: [{destination: {host: empty.local}}]\n", [rule(to="empty")]),
    "nosubset.local": ("  - route: [{destination: {host: web.local, subset: missing}}]\n", [rule(to="missing")]),
    "some.local": ("  - match: [{uri: {prefix: /some}}]\n" + WEB, [rule({"prefix": "/some"})]),
    "limited.local": ("  - route: [{destination: {host: limited.local}}]\n", [rule(to="limited")]),
    "blackhole.local": ("  - retries: {attempts: 0}\n    route: [{destination: {host: blackhole.local}}]\n", [rule(to="blackhole", retry_policy=None)]),
    "h2.local": ("  - route: [{destination: {host: h2.local}}]\n", [rule(to="h2")]),
    "h2-5xx.local": retry_host("5xx", to="h2", host="h2.local"),
    "h2-reset.local": retry_host("reset", to="h2", host="h2.local"),
    "h2-refused.local": retry_host("refused-stream", to="h2", host="h2.local"),
    "h2-connect.local": retry_host("connect-failure", to="h2", host="h2.local"),
    "h2-zero.local": ("  - retries: {attempts: 0}\n    route: [{destination: {host: h2.local}}]\n", [rule(to="h2", retry_policy=None)]),
    "grpc-unavailable.local": retry_host("unavailable,cancelled", to="h2", host="h2.local"),
    "grpc-internal.local": retry_host("internal,resource-exhausted,deadline-exceeded", to="h2", host="h2.local"),
    "h2-timeout.local": ("  - timeout: 0.3s\n    route: [{destination: {host: h2.local}}]\n", [rule(to="h2", timeout="0.300s")]),
    "sick.local": ("  - retries: {attempts: 0}\n    route: [{destination: {host: sick.local}}]\n", [rule(to="sick", retry_policy=None)]),
    # Many requests.
    "weights.local": (
        "  - route: [{destination: {host: web.local}, weight: 75}, {destination: {host: second.local}, weight: 25}]\n",
        [rule(to=[{"name": "web", "weight": 75}, {"name": "second", "weight": 25}])]),
    "mirror.local": (
        "  - mirrors: [{destination: {host: second.local}, percentage: {value: 40}}]\n" + WEB,
        [rule(request_mirror_policies=[{"cluster": "second", "runtime_fraction": {"default_value": share(40)}}])]),
    "mirror-all.local": ("  - mirror: {host: second.local}\n" + WEB, [rule(request_mirror_policies=[{"cluster": "second"}])]),
    "hash-header.local": ("  - route: [{destination: {host: hash-header.local}}]\n",
                          [rule(to="hash-header", hash_policy=[{"header": {"header_name": "x-user"}}], retry_policy={**DEFAULT_RETRY, "retry_host_predicate": []})]),
    "hash-cookie.local": ("  - route: [{destination: {host: hash-cookie.local}}]\n",
                          [rule(to="hash-cookie", hash_policy=[{"cookie": {"name": "sid", "ttl": "60s", "path": "/"}}])]),
    "hash-query.local": ("  - route: [{destination: {host: hash-query.local}}]\n", [rule(to="hash-query", hash_policy=[{"query_parameter": {"name": "u"}}])]),
}


def service(host, ports, protocol="HTTP", policy=""):
    endpoints = ", ".join("{address: 127.0.0.1, ports: {http: %d}}" % p for p in ports)
    name = host.split(".")[0]
    text = f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: {protocol}}}]
  resolution: STATIC
  {f"endpoints: [{endpoints}]" if ports else "workloadSelector: {labels: {app: nobody}}"}
"""
    if policy:
        text += f"""---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: default}}
spec: {{host: {host}, trafficPolicy: {policy}}}
"""
    return text


ONCE = "{connectionPool: {http: {maxRequestsPerConnection: 1}}}"


def istio(services):
    labels = "\n".join(f'            {name}: "{operator}"' for name, operator in LABELS.items())
    text = f"""
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: default, namespace: istio-system}}
spec: {{accessLogging: [{{providers: [{{name: file}}]}}]}}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig:
    extensionProviders:
    - name: file
      envoyFileAccessLog:
        path: access.log
        logFormat:
          labels:
{labels}
"""
    text += "".join(services)
    for index, (host, (rules, _)) in enumerate(HOSTS.items()):
        text += f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{index}, namespace: default}}
spec:
  hosts: ["{host}"]
  http:
{rules}"""
    return text


class Pair:
    """Both proxies, each with a set of backends."""

    def __init__(self, directory):
        self.dead = free_port()
        self.full = BlackHole()
        sides = []
        for name in ("skein", "envoy"):
            backends = {"web": ScriptedBackend(), "keeps": ScriptedBackend(), "second": ScriptedBackend(), "h2": ScriptedH2Backend(), "sick": ScriptedBackend()}
            backends.update({f"n{n}": ScriptedBackend() for n in range(4)})
            sides.append(Side(0, directory / name, backends))
        self.skein, self.envoy = sides

        ports = {name: b.port for name, b in self.skein.backends.items()}
        many = [ports[f"n{n}"] for n in range(4)]
        self.process = Skein(directory, istio([
            service("web.local", [ports["web"]], policy=ONCE), service("keeps.local", [ports["keeps"]]), service("second.local", [ports["second"]]),
            service("dead.local", [self.dead]), service("half.local", [self.dead, ports["web"]], policy="{loadBalancer: {simple: ROUND_ROBIN}}"),
            service("empty.local", []), service("limited.local", [ports["web"]], policy="{connectionPool: {http: {http2MaxRequests: 1}}}"),
            service("blackhole.local", [self.full.port], policy="{connectionPool: {tcp: {connectTimeout: 0.3s}}}"), service("h2.local", [ports["h2"]], "HTTP2"),
            service("sick.local", [ports["sick"]], policy="{connectionPool: {http: {maxRequestsPerConnection: 1}}, outlierDetection: {consecutive5xxErrors: 2, interval: 60s, baseEjectionTime: 300s, maxEjectionPercent: 100}}"),
            service("hash-header.local", many, policy="{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}"),
            service("hash-cookie.local", many, policy="{loadBalancer: {consistentHash: {httpCookie: {name: sid, ttl: 60s, path: /}}}}"),
            service("hash-query.local", many, policy="{loadBalancer: {consistentHash: {httpQueryParameterName: u}}}"),
        ]), arguments=["--workers", "1", "--seed", "11"], environment=ZONE).wait_ready()
        self.skein.port, self.skein.log = self.process.ports["outbound"], self.process.directory / "access.log"

        ports = {name: b.port for name, b in self.envoy.backends.items()}
        many = [ports[f"n{n}"] for n in range(4)]
        ring = {"lb_policy": "RING_HASH"}
        limited = cluster("limited", [ports["web"]])
        limited["circuit_breakers"]["thresholds"][0]["max_requests"] = 1
        self.peer = Envoy(directory, [(h, [h], routes) for h, (_, routes) in HOSTS.items()], [
            cluster("web", [ports["web"]], **ONE_EACH), cluster("keeps", [ports["keeps"]]), cluster("second", [ports["second"]]), cluster("dead", [self.dead]),
            cluster("half", [self.dead, ports["web"]]), cluster("empty", []), limited, cluster("blackhole", [self.full.port], connect_timeout="0.3s"),
            cluster("h2", [ports["h2"]], **HTTP2),
            cluster("sick", [ports["sick"]], **ONE_EACH, outlier_detection={"consecutive_5xx": 2, "interval": "60s", "base_ejection_time": "300s", "max_ejection_percent": 100,
                                                                "enforcing_consecutive_5xx": 100, "enforcing_success_rate": 0}),
            cluster("hash-header", many, **ring), cluster("hash-cookie", many, **ring), cluster("hash-query", many, **ring),
        ])
        self.envoy.port, self.envoy.log = self.peer.port, self.peer.log

    def close(self):
        self.process.stop(signal.SIGKILL)
        self.peer.stop()
        together(*[backend.close for side in (self.skein, self.envoy) for backend in side.backends.values()])
        self.full.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    made.close()


# --- Cases ---------------------------------------------------------------------------------------------------------------

CASES = {}


def case(name, *arguments, **more):
    assert name not in CASES, name
    CASES[name] = Case(*arguments, **more)


for path in ["/exact", "/exact/", "/exact?x=1", "/pre", "/prefix/a", "/PRE", "/re/12", "/re/12/", "/re/12?x", "/x/re/12", "/case/x", "/CASE", "/exact-i", "/EXACT-I", "/exact-i/x",
             "/re-abc", "/RE-abc", "/dir", "/dir/", "/dir/x", "/"]:
    case(f"paths {path}", "paths.local", path)
for headers in [{"x-e": "one"}, {"X-E": "one"}, {"x-e": "One"}, {"x-e": " one "}, {"x-p": "one"}, {"x-p": "no"}, {"x-r": "aXb"}, {"x-r": "aXbc"}, {"x-r": "ab"}, {"x-present": ""}, {"x-present": "v"},
                {"x-1": "a"}, {"x-1": "a", "x-2": "b"}]:
    case(f"headers {headers}", "headers.local", headers=tuple(headers.items()))
case("headers two of one name", "headers.local", headers=(("x-e", "one"), ("x-e", "two")))
case("headers two of one name, prefix", "headers.local", headers=(("x-p", "one"), ("x-p", "two")))
case("headers two of one name, regex", "headers.local", headers=(("x-r", "a"), ("x-r", "b")))
for path in ["/wo", "/ab"]:
    case(f"without {path}, two of one name", "headers.local", path, headers=(("x-no", "yes"), ("x-no", "no")))
for path in ["/wo", "/ab", "/nr"]:
    for headers in [(), (("x-no", "no"),), (("x-no", "yes"),), (("x-no", ""),)]:
        case(f"without {path} {headers}", "headers.local", path, headers=headers)
for query in ["e=one", "e=One", "a=b&e=one", "e=two&e=one", "p=one", "p=x", "r=12", "r=1x", "here", "here=", "here=1", "none=", "none", "E=one", "e=on%65", "x;e=one", "e=one;x", "e=one#f"]:
    case(f"query {query}", "query.local", f"/?{query}")
for method in ["PUT", "POST", "PATCH", "GET", "PURGE", "put", "OPTIONS"]:
    case(f"method {method}", "methods.local", method=method)
case("scheme told by the client", "methods.local", headers=(("x-forwarded-proto", "https"),))
case(":path matched with its query", "pathfield.local", "/a?x=1")
case(":path without the query", "pathfield.local", "/a")
for host in ["a.wild.local", "A.Wild.Local", "a.wild.local:80", "a.wild.local:8080", "a.wild.local:9", "b1.wild.local", "x.deep.wild.local", "own.deep.wild.local", "own.deep.wild.local:7", "wild.local",
             ".wild.local", "a.wild.local.", "plain.local:80", "PLAIN.local", "plain.local:9999", "nowhere.local", "127.0.0.1", "[::1]:80", "plain.local:", "plain.local:abc"]:
    case(f"host {host}", host)

for path in ["/a/./b", "/a/../b", "/a/b/..", "/a/b/.", "/../../a", "/a/%2e%2e/b", "/a/%2E/b", "/a/.%2e/b", "/a%2Fb", "/a%2fb", "/a\\b", "/a%5Cb", "/a\\..\\b", "//a//b", "/a//../b", "/%41%42", "/%7Euser",
             "/%7euser", "/a%20b", "/%C3%A9", "/a%00b", "/%zz", "/a%", "/a%2", "/%25%34%31", "/a?x=../y", "/a?x=%41", "/a/..?x=1", "/.", "/..", "/a;x=1/b", "/a%3Bb", "/a%3ab", "/...", "/.a/..b", "/a+b", "/a|b",
             "/a\"b", "/a[b]", "/a'b", "/a%7Cb", "/\u00e9", "/a?x=|", "/a?x=\"", "/a!$&()*,=:@b", "/%2F..", "/%252e%252e/a", "/a/%2e%2e%2fb", "/a<b>", "/a`b", "/a{b}", "/a^b", "/a//", "*"]:
    case(f"norm {path}", "plain.local", path, method="OPTIONS" if path == "*" else "GET")
case("norm absolute form", "plain.local", raw=b"GET http://plain.local/a/../b?x HTTP/1.1\r\nHost: ignored.local\r\n\r\n")
case("norm absolute form without a path", "plain.local", raw=b"GET http://plain.local?x HTTP/1.1\r\nHost: plain.local\r\n\r\n")
case("norm relative path", "plain.local", raw=b"GET a HTTP/1.1\r\nHost: plain.local\r\n\r\n")

for path in ["/api/x?y=1", "/api", "/apix", "/strip/a/b", "/strip/", "/one", "/one?q=1", "/re/abc?q", "/icase/x", "/ICASE", "/users/42/name?y=2", "/users/x", "/all/a?a", "/host", "/sethost", "/bothhosts", "/other?z", "/"]:
    case(f"rewrite {path}", "rewrite.local", path)
case("rewrite keeps what the client says of the original", "rewrite.local", "/api/x", headers=(("x-envoy-original-path", "/forged"),))

for path in ["/301", "/302", "/303/x?y=1", "/307", "/308", "/host/a?b=c", "/tls/a?b", "/port/a", "/p80/a", "/derive", "/request", "/every/x?y=1", "/what?x"]:
    for host in ["redirect.local", "redirect.local:8080"]:
        case(f"redirect {host} {path}", host, path)
case("redirect of POST", "redirect.local", "/308", method="POST", body=b"x" * 10)
case("redirect over h2", "redirect.local", "/308", http2=True)
case("direct", "direct.local")
case("direct empty", "direct.local", "/empty")
case("direct with a type", "direct.local", "/json")
case("direct with a type over h2", "direct.local", "/json", http2=True)
case("direct HEAD", "direct.local", method="HEAD")
case("direct over h2", "direct.local", http2=True)
case("direct POST with a body", "direct.local", method="POST", body=b"x" * 1000)

OPS = tuple((f"x-{n}", "client") for n in ("set", "add", "cross", "drop-route", "drop-dest", "gone", "only-route"))
SECRETS = "200;x-secret-route: 1;x-secret-dest: 2;x-res: upstream;x-res-add: upstream;x-other: 1"
case("operations at both levels", "ops.local", headers=OPS, script=SECRETS)
case("operations at both levels, weighted", "ops2.local", headers=OPS, script=SECRETS)
case("operations at both levels, h2", "ops.local", headers=OPS, script=SECRETS, http2=True)
case("an addition before a replacement", "setadd.local", headers=(("x-a", "client"), ("x-b", "client")))
case("operations on our own error", "dead.local")
for path in ["/set", "/remove", "/add", "/made", "/moved", "/direct"]:
    for http2 in (False, True):
        case(f"operations on own fields {path}{', h2' if http2 else ''}", "own.local", path, http2=http2, script="200;x-res: upstream" if path not in ("/moved", "/direct") else None,
             headers=(("x-a", "one"), ("x-b", "two"), ("x-request-id", "mine")))
case("request fields of many kinds", "plain.local", headers=(
    ("Accept", "a"), ("accept", "b"), ("Cookie", "a=1; b=2"), ("User-Agent", "u"), ("x-empty", ""), ("x_under", "1"), ("Authorization", "Basic x"), ("Via", "1.1 x"), ("Forwarded", "for=x")))
case("hop-by-hop fields", "plain.local", headers=(
    ("Connection", "x-hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("Proxy-Connection", "x"), ("TE", "trailers"), ("Upgrade", "h2c"), ("X-End", "1")))
case("te of a coding", "plain.local", headers=(("TE", "gzip"),))
case("te with trailers among others", "plain.local", headers=(("TE", "gzip, trailers"),))
case("proxy authorisation", "plain.local", headers=(("Proxy-Authorization", "Basic x"),))
case("hop-by-hop fields of a response", "plain.local", script="hop")
case("request id kept", "plain.local", headers=(("X-Request-Id", "mine-1"),))
case("request id kept, h2", "plain.local", headers=(("X-Request-Id", "mine-1"),), http2=True)
case("request id made", "plain.local")
case("request id empty", "plain.local", headers=(("X-Request-Id", ""),))
case("request id not returned", "plain.local", script="200;x-request-id: upstream")
for name, value in [("x-forwarded-proto", "https"), ("x-forwarded-proto", "ftp"), ("x-forwarded-host", "h"), ("x-envoy-attempt-count", "7"), ("x-envoy-expected-rq-timeout-ms", "5"),
                    ("x-envoy-original-path", "/x"), ("x-envoy-internal", "true"), ("x-envoy-external-address", "1.2.3.4"), ("x-envoy-decorator-operation", "op"), ("x-envoy-max-retries", "3"),
                    ("x-envoy-upstream-rq-timeout-ms", "5000"), ("x-envoy-upstream-rq-per-try-timeout-ms", "500"), ("x-envoy-hedge-on-per-try-timeout", "true"), ("x-envoy-ip-tags", "a"),
                    ("x-envoy-upstream-alt-stat-name", "a"), ("x-envoy-retry-on", "5xx"), ("x-envoy-retry-grpc-on", "cancelled"), ("x-envoy-is-timeout-retry", "true"), ("x-envoy-force-trace", "1"), ("x-envoy-original-url", "u"), ("x-envoy-upstream-rq-timeout-alt-response", "1"),
                    ("x-envoy-original-host", "h"), ("x-envoy-downstream-service-cluster", "c"), ("x-envoy-other", "o")]:
    case(f"told {name}: {value}", "plain.local", headers=((name, value),), script="200")
case("response fields that Envoy sets itself", "plain.local", script="200;x-envoy-upstream-service-time: 999;x-envoy-attempt-count: 9;x-envoy-overloaded: 1;x-envoy-ratelimited: 1")

for host in ["cors.local", "cors-ignore.local", "cors-any.local", "cors-direct.local", "cors-fault.local"]:
    for origin in ["https://good.example", "https://pre.fix", "https://a.re.example", "https://xa.re.example.evil", "https://evil.example", "https://GOOD.example", "null"]:
        asked = (("Origin", origin),)
        case(f"{host} simple {origin}", host, headers=asked, script="200;access-control-allow-origin: app;access-control-allow-credentials: false;access-control-expose-headers: app;vary: accept")
        case(f"{host} preflight {origin}", host, method="OPTIONS", headers=(*asked, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-token")))
case("cors OPTIONS without a method asked for", "cors.local", method="OPTIONS", headers=(("Origin", "https://good.example"),))
case("cors preflight without an origin", "cors.local", method="OPTIONS", headers=(("Access-Control-Request-Method", "POST"),))
case("cors empty origin", "cors.local", headers=(("Origin", ""),))
case("cors and our own error", "cors.local", headers=(("Origin", "https://good.example"),), script="fin")
case("cors preflight over h2", "cors.local", method="OPTIONS", headers=(("Origin", "https://good.example"), ("Access-Control-Request-Method", "POST")), http2=True)
case("cors preflight for the network", "cors.local", method="OPTIONS", headers=(
    ("Origin", "https://good.example"), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Private-Network", "true")))

for host in ["abort.local", "abort-direct.local", "abort-nowhere.local", "delay.local", "delay-abort.local", "abort-grpc.local"]:
    case(f"fault {host}", host)
    case(f"fault {host} of a call", host, method="POST", headers=(("content-type", "application/grpc"), ("te", "trailers")), body=b"\0\0\0\0\0", http2=True)
case("fault asked for by a header, which is off", "plain.local", headers=(("x-envoy-fault-abort-request", "503"), ("x-envoy-fault-delay-request", "5")))

RETRIED = {
    "r5xx.local": ["503|200", "500|500|200", "503|503|503", "503;x-mine: 1|503;x-mine: 2|503;x-mine: 3", "reset|200", "fin|fin|fin", "garbage|200", "404", "409", "cut-head|200", "429", "599|200"],
    "rgateway.local": ["502|200", "500", "504|200", "reset|200", "fin|200", "garbage|200", "501"],
    "rreset.local": ["reset|200", "fin|200", "503", "cut-head|200", "garbage|200", "two-lengths|200"],
    "rconnect.local": ["503", "reset"],
    "r4xx.local": ["409|200", "404", "409|409|409"],
    "rcodes.local": ["418|200", "503|418|200", "500", "reset", "418|418|418"],
    "rmixed.local": ["429|200", "503", "reset"],
    "rheaders.local": ["503;x-retry: 1"],
    "rlimited.local": ["429;x-envoy-ratelimited: true|200", "503;x-envoy-ratelimited: true|200", "503", "429", "200;x-envoy-ratelimited: true|200"],
    "r5xx-zero.local": ["503|200", "reset|200"],
    "rbefore.local": ["reset|200", "503|200"],
    "plain.local": ["503", "500", "reset", "409"],
}
for host, scripts in RETRIED.items():
    for script in scripts:
        case(f"retry {host} {script}", host, script=script)
for name, fields, script in [
    ("x-envoy-retry-on", [("x-envoy-retry-on", "5xx")], "503|200"), ("x-envoy-retry-on and x-envoy-max-retries", [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "1")], "503|503|503"),
    ("x-envoy-retry-grpc-on", [("x-envoy-retry-grpc-on", "unavailable")], "503"),
    ("x-envoy-retriable-status-codes", [("x-envoy-retry-on", "retriable-status-codes"), ("x-envoy-retriable-status-codes", "418,419")], "419|200"),
    ("x-envoy-retriable-header-names", [("x-envoy-retry-on", "retriable-headers"), ("x-envoy-retriable-header-names", "x-again")], "200;x-again: 1|200"),
]:
    case(f"asked by {name}", "plain.local", headers=tuple(fields), script=script)
case("retry 5xx not when rate limited", "r5xx.local", script="503;x-envoy-ratelimited: true|200")
case("retry of a POST with its body", "r5xx.local", method="POST", body=b"body" * 5000, script="503|200")
case("retry of a chunked POST with trailers", "r5xx.local", method="POST", body=b"body", trailers=((b"X-T", b"1"),), script="503|200")
case("retry of a POST after a reset", "rreset.local", method="POST", body=b"body", script="reset|200")
case("retry of HEAD", "r5xx.local", method="HEAD", script="503|200")
case("retry over h2", "r5xx.local", http2=True, script="503|200")
case("retry over h2 to the end", "r5xx.local", http2=True, script="fin|fin|fin")
case("retry not after the head", "rreset.local", script="reset-after-head|200")
for host in ["rconnect-dead.local", "r5xx-dead.local", "rgateway-dead.local", "rreset-dead.local", "rrefused-dead.local", "dead-default.local"]:
    case(f"refused {host}", host)
case("refused over h2", "dead.local", http2=True)
case("refused POST", "dead-default.local", method="POST", body=b"x")
# Which of the two comes first is chance.
case("retry meets the living half", "rhalf-dead.local", ignore=("upstream.0.headers.x-envoy-attempt-count",))

case("per-try timeout, then an answer", "pertry.local", script="hang|200")
case("per-try timeout to the end", "pertry.local", script="hang|hang|hang")
case("per-try timeout, gateway-error", "pertry-gateway.local", script="hang|200")
case("per-try timeout, reset", "pertry-reset.local", script="hang|200")
case("per-try timeout, no condition holds", "pertry-connect.local", script="hang|200")
case("per-try timeout beyond the route's", "pertry-long.local", script="hang|200")
case("route timeout", "timeout.local", script="hang")
case("route timeout over h2", "timeout.local", script="hang", http2=True)
case("route timeout of a POST", "timeout.local", script="hang", method="POST", body=b"x" * 100)
case("route timeout covers the tries", "timeout-retry.local", script="503|hang")
case("route timeout told to the upstream", "timeout.local")
case("per-try timeout told to the upstream", "pertry.local")

for script in ["fin", "reset", "cut-head", "garbage", "two-lengths", "switch"]:
    case(f"before the head: {script}", "plain.local", script=script)
    if script != "switch":
        case(f"before the head: {script}, h2", "plain.local", script=script, http2=True)
for script in ["short", "cut-chunk", "cut-between", "reset-after-head"]:
    case(f"after the head: {script}", "plain.local", script=script)
    case(f"after the head: {script}, h2", "plain.local", script=script, http2=True)
case("no healthy upstream", "empty.local")
case("no healthy upstream, h2", "empty.local", http2=True)
case("no cluster", "nosubset.local")
case("no route", "some.local", "/other")
case("no host", "nowhere.local", "/other")
case("no answer to a handshake", "blackhole.local")
case("no answer to a handshake, h2", "blackhole.local", http2=True)

for script in ["head", "not-modified", "no-content", "chunked", "until-close", "interim", "old", "200"]:
    for method in ["GET", "HEAD"]:
        if (script, method) not in (("head", "GET"), ("chunked", "HEAD"), ("until-close", "HEAD"), ("interim", "HEAD"), ("old", "HEAD"), ("200", "HEAD")):
            case(f"framing {method} {script}", "plain.local", method=method, script=script)
            case(f"framing {method} {script}, h2", "plain.local", method=method, script=script, http2=True)
case("framing POST without a body", "plain.local", method="POST", body=b"")
case("framing DELETE with a body", "plain.local", method="DELETE", body=b"abc")
case("framing chunked with trailers", "plain.local", method="POST", body=b"abc", trailers=((b"X-T", b"1"),))
case("framing h2 with trailers", "plain.local", method="POST", body=b"abc", trailers=((b"x-t", b"1"),), http2=True)
case("expect", "plain.local", raw=b"POST / HTTP/1.1\r\nHost: plain.local\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
case("expect something else", "plain.local", raw=b"POST / HTTP/1.1\r\nHost: plain.local\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\nabc")
case("missing host", "plain.local", sends_host=False)
case("empty host", "plain.local", raw=b"GET / HTTP/1.1\r\nHost: \r\n\r\n")
case("HTTP/1.0", "plain.local", version="HTTP/1.0")
case("HTTP/1.0 without a host", "plain.local", raw=b"GET / HTTP/1.0\r\n\r\n")
case("too large a head", "plain.local", headers=(("x-large", "y" * 70000),))
case("too many fields", "plain.local", headers=tuple((f"x-{n}", "y") for n in range(120)))
case("upgrade refused by the upstream", "plain.local", headers=(("Connection", "Upgrade"), ("Upgrade", "websocket")), script="503")
case("upgrade to h2c", "plain.local", headers=(("Connection", "Upgrade"), ("Upgrade", "h2c")))
case("upgrade to something unknown", "plain.local", headers=(("Connection", "Upgrade"), ("Upgrade", "unknown")))
case("connection field that names credentials", "plain.local", headers=(("Connection", "Authorization"), ("Authorization", "Basic x")))
case("host beside another authority", "plain.local", headers=(("Host", "other.local"),), http2=True)
case("CONNECT", "plain.local", raw=b"CONNECT plain.local:80 HTTP/1.1\r\nHost: plain.local:80\r\n\r\n")
case("TRACE", "plain.local", method="TRACE")

for host in ["h2.local", "h2-5xx.local", "h2-reset.local", "h2-refused.local", "h2-connect.local", "h2-zero.local"]:
    for script in ["refused|200", "internal|200", "cancel|200", "drop|200", "503|200", "after-head|200", "refused|refused|refused|200"]:
        case(f"h2 upstream {host} {script}", host, script=script, upstream="h2")
for script in ["trailers", "no-content", "long", "garbage", "refused|200", "internal", "after-head"]:
    case(f"h2 on both sides, {script}", "h2.local", script=script, upstream="h2", http2=True)
case("h2 upstream with trailers", "h2.local", script="trailers", upstream="h2")
case("h2 upstream given a body and trailers", "h2.local", method="POST", body=b"abc", trailers=((b"X-T", b"1"),), upstream="h2")
case("h2 upstream and hop-by-hop fields", "h2.local", headers=(("Connection", "x-hop"), ("X-Hop", "1"), ("TE", "trailers"), ("Keep-Alive", "5")), upstream="h2")

def call(name, host, script=None, headers=(), content="application/grpc", **more):
    case(f"call {name}", host, method="POST", script=script, headers=(("content-type", content), ("te", "trailers"), *headers), body=b"\0\0\0\0\0", http2=True, **more)


for script in ["grpc+0", "grpc=14|grpc+0", "grpc=1|grpc+0", "grpc+14", "grpc=13", "grpc=0", "503", "internal", "refused|grpc+0"]:
    for host in ["h2.local", "grpc-unavailable.local", "grpc-internal.local", "h2-5xx.local"]:
        call(f"{host} {script}", host, script, upstream="h2")
for host in ["nowhere.local", "dead.local", "empty.local", "nosubset.local", "direct.local", "redirect.local"]:
    call(f"to {host}", host)
call("route timeout", "h2-timeout.local", "hang", upstream="h2")
call("its own time is shorter", "h2-timeout.local", "hang", (("grpc-timeout", "100m"),), upstream="h2")
call("its own time is longer", "h2-timeout.local", "hang", (("grpc-timeout", "10S"),), upstream="h2")
call("its own time only", "h2.local", "hang", (("grpc-timeout", "150m"),), upstream="h2")
call("its own time illegible", "h2.local", "grpc+0", (("grpc-timeout", "soon"),), upstream="h2")
for content in ["application/grpc-web", "application/grpc+proto", "application/grpc;x=1", "application/GRPC", "application/grpcx", "text/plain"]:
    call(f"of {content}", "dead.local", content=content)

# --- What differs and is to stay ------------------------------------------------------------------------------------------

# Where the values are told by the other places, or are text for people.
ANY = object()
SAYS = {"body": ANY, "headers.content-length": ANY}
SAYS_MORE = {**SAYS, "headers.content-type": ("text/plain", None)}
NOT_SENT = {"attempts": ANY, "headers.x-envoy-upstream-service-time": ANY}
CORS_FIELDS = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers")
PREFLIGHT_FIELDS = ("access-control-allow-methods", "access-control-allow-headers", "access-control-max-age")


def added(*names):
    return {f"headers.{name}": ANY for name in names}


def instead(code, other, **places):
    pair = ANY if other is ANY else (code, other)
    return {"status": pair, "logged.code": pair, **places}


# (why it stays, names of cases or patterns of them, {place: (Skein's, Envoy's)}). A difference that is gone fails as one that is new does.
DIFFERENCES = [
    ("Skein says in words why it refuses; Envoy's body is empty or repeats the status",
     ["norm /a%00b"], SAYS_MORE),
    ("as above; and what of the request was legible stands in Skein's log",
     ["norm relative path"], {**SAYS, "logged.method": ("GET", None), "logged.path": ("a", None), "logged.authority": ("plain.local", None)}),
    ("as above; a fragment is no part of a request target (RFC 9112 3.2), so it is the client that broke the protocol",
     ["query e=one#f"], {**SAYS_MORE, "details": ("http1.codec_error", "path_normalization_failed"), "flags": ("DPE", "-")}),
    ("as above; a head without Host is malformed (RFC 9112 3.2), which is refused before anything of it is looked at",
     ["missing host"], {**SAYS_MORE, "flags": ("DPE", "-")}),
    ("as above; an empty Host names nobody, and is answered like none",
     ["empty host"], instead(400, 404, **SAYS_MORE, details=("missing_host_header", "route_not_found"), flags=("-", "NR"), **{"logged.authority": (None, "")})),
    ("as above; and what of the request was legible stands in Skein's log", ["too large a head", "too many fields"],
     {**SAYS, "logged.method": ("GET", None), "logged.path": ("/", None), "logged.authority": ("plain.local", None)}),
    ("as above", ["no cluster"], SAYS_MORE),
    ("as above", ["call to nosubset.local"], {"headers.grpc-message": ("no such cluster", None)}),
    ("methods are case-sensitive names of any kind (RFC 9110 9.1); Envoy's parser knows a list",
     ["method put"], instead(200, 400, **SAYS, details=ANY, flags=("-", "DPE"), **{"logged.method": ANY, "logged.path": ANY, "logged.authority": ANY})),
    ("bytes beyond ASCII are encoded, which is what clients that send them mean; Envoy's parser refuses them",
     ["norm /\u00e9"], instead(200, 400, **SAYS, **NOT_SENT, details=ANY, flags=("-", "DPE"), **{
         "headers.content-type": ANY, "logged.method": ANY, "logged.path": ("/%E9", None), "logged.authority": ANY})),
    ("a name may be written with the root's dot (RFC 1034 3.1)",
     ["host a.wild.local."], instead(200, 404, **SAYS_MORE, details=ANY, flags=("-", "NR"))),
    ("a port is a number (RFC 3986 3.2.3), and what is none makes the whole no host",
     ["host plain.local:abc"], instead(400, 200, **SAYS, **NOT_SENT, details=ANY, flags=("DPE", "-"), **{"headers.content-type": ANY})),
    ("a colon without a port is the same as none (RFC 3986 6.2.3), and is not forwarded",
     ["host plain.local:"], {"logged.authority": ("plain.local", "plain.local:"), "upstream.0.host": ("plain.local", "plain.local:")}),
    ("a protocol that may not be switched to is not asked for, and the request goes on (RFC 9110 7.8)",
     ["upgrade to something unknown"], instead(200, 403, **SAYS, **NOT_SENT, details=ANY)),
    ("credentials are for everybody on the way: nobody may name them in Connection (RFC 9110 7.6.1)",
     ["connection field that names credentials"], {"upstream.0.headers.authorization": ("Basic x", None)}),
    ("two names for one request are a malformed one (RFC 9113 8.3.1); Envoy drops the second",
     ["host beside another authority"], instead(400, 200, **SAYS, **NOT_SENT, details=ANY, flags=("DPE", "-"), **{"headers.content-type": ANY})),
    ("`OPTIONS *` is a request (RFC 9112 3.2.4), and an absolute target without a path means `/` (RFC 9110 4.2.3)",
     ["norm [*]"], instead(200, 404, **SAYS, **NOT_SENT, details=ANY)),
    ("as above", ["norm absolute form without a path"], instead(200, 404, **SAYS, **NOT_SENT, details=ANY, **{"logged.path": ("/?x", "?x")})),
    ("`port: 80` and FROM_PROTOCOL_DEFAULT mean the default port (Istio's reference); istiod leaves the client's own in place",
     ["redirect redirect.local:8080 /p80/a", "redirect redirect.local:8080 /derive"], {"headers.location": ANY}),
    ("an answer of our own has a length in HTTP/2 too",
     ["redirect over h2", "operations on own fields /moved, h2", "cors preflight over h2"], {"headers.content-length": ("0", None)}),
    ("a list field may be one line or several (RFC 9110 5.3)",
     ["request fields of many kinds"], {"upstream.0.headers.accept": ANY}),
    ("credentials for a proxy are this proxy's, which clients name as theirs (RFC 9110 11.7.2)",
     ["proxy authorisation"], {"upstream.0.headers.proxy-authorization": (None, "Basic x")}),
    ("what `Connection` names is for one hop (RFC 9110 7.6.1), in responses too",
     ["hop-by-hop fields of a response"], {"headers.x-hop": (None, "1")}),
    ("the upstream answers an expectation (RFC 9110 10.1.1); Istio's Envoy does so itself, before the upstream has seen the request",
     ["expect"], {"upstream.0.headers.expect": ("100-continue", None)}),
    ("as for any list; Envoy joins the values of fields that it knows (RFC 9110 5.3)", ["operations on own fields /add*"], {
        **{f"upstream.0.headers.{name}": ANY for name in OWN_REQUEST}, "headers.x-envoy-upstream-service-time": ANY}),
    ("a client cannot write into the log what the path was",
     ["told x-envoy-original-path: /x"], {"logged.original": (None, "/x")}),
    ("a request without content has no Content-Length (RFC 9110 8.6 asks for one where content is expected)",
     ["cors.local preflight https://*evil*", "cors.local preflight https://GOOD*", "cors.local preflight null", "cors OPTIONS*", "cors preflight without*"],
     {"upstream.0.headers.content-length": (None, "0")}),
    ("to a foreign origin a preflight's answer says nothing at all",
     ["cors-ignore.local preflight https://*evil*", "cors-ignore.local preflight https://GOOD*", "cors-ignore.local preflight null"],
     added("access-control-allow-credentials", *PREFLIGHT_FIELDS)),
    ("a rule's CORS policy holds for its direct response as well; Envoy's filter leaves out what has no cluster",
     [f"cors-direct.local simple https://{o}" for o in ("good.example", "pre.fix", "a.re.example")], added(*CORS_FIELDS)),
    ("as above", [f"cors-direct.local preflight https://{o}" for o in ("good.example", "pre.fix", "a.re.example")],
     {**added(*CORS_FIELDS, *PREFLIGHT_FIELDS), **SAYS, "details": ("cors_response", "direct_response"), "headers.content-type": (None, "text/plain")}),
    ("a workload may set its own request's limits (docs/traffic.md); Istio's Envoy takes every caller for an external one and drops what it asks for",
     ["told x-envoy-upstream-rq-timeout-ms:*", "told x-envoy-upstream-rq-per-try-timeout-ms:*"], {"upstream.0.headers.x-envoy-expected-rq-timeout-ms": ANY}),
    ("as above", ["asked by x-envoy-retry-on", "asked by x-envoy-retriable-status-codes"], instead(200, ANY, body=ANY, attempts=(2, 1))),
    ("as above", ["asked by x-envoy-retry-on and x-envoy-max-retries"], {"attempts": (2, 1), "flags": ("URX", "-")}),
    ("only errors are tried again; a response that succeeded is delivered whatever it says of rate limits",
     ["retry rlimited.local 200;*"], {"attempts": (1, 2), "headers.x-envoy-ratelimited": ("true", None)}),
    ("the connection ended and nothing was malformed: UC, 503. Envoy's parser calls an end where it wants more a protocol error",
     ["before the head: cut-head*"], instead(503, 502, **SAYS, flags=("UC", "UPE"), details=ANY)),
    ("as above", ["after the head: *", "retry not after the head"], {
        "flags": ("UC", "UPE"), "details": ("upstream_reset_after_response_started{connection_termination}", "upstream_reset_after_response_started{protocol_error}")}),
    ("nobody asked to switch protocols (RFC 9110 15.2.2), so this is no response",
     ["before the head: switch"], instead(502, 101, **SAYS, flags=("UPE", "-"), details=ANY, end=("whole", "switched"), **{
         "headers.content-type": ANY, "headers.x-envoy-upstream-service-time": ANY})),
    ("the name in Envoy's documentation; 1.40 writes a shorter one",
     ["per-try timeout beyond the route's", "route timeout", "route timeout over h2", "route timeout of a POST", "route timeout covers the tries", "call route timeout",
      "call its own time is longer"], {"details": ("upstream_response_timeout", "response_timeout")}),
    ("the client's own deadline stays as it wrote it; Envoy writes what the route leaves of it",
     ["call route timeout", "call its own time is longer"], {"upstream.0.headers.grpc-timeout": ANY}),
    ("a call whose own time is over is DEADLINE_EXCEEDED, which its client would say too; Envoy under Istio says UNAVAILABLE",
     ["call its own time is shorter", "call its own time only"], {
         "details": ("max_duration_timeout", "response_timeout"), "flags": ("DT", "UT"), "headers.grpc-status": ("4", "14"), "headers.grpc-message": ANY}),
    ("HTTP/1.0 is served; Istio's Envoy wants 1.1 unless told otherwise",
     ["HTTP/1.0"], instead(200, 426, **SAYS, **NOT_SENT, flags=("-", "DPE"), details=ANY, **{
         "headers.content-type": ANY, "logged.method": ANY, "logged.path": ANY, "logged.authority": ANY, "logged.protocol": ("HTTP/1.0", "HTTP/1.1")})),
    ("as above", ["HTTP/1.0 without a host"], instead(400, 426, **SAYS, flags=("-", "DPE"), details=("missing_host_header", "low_version"), **{
        "logged.method": ANY, "logged.path": ANY, "logged.protocol": ANY})),
    ("how long the upstream took is told whatever it was asked for",
     ["upgrade refused by the upstream"], {"headers.x-envoy-upstream-service-time": ANY}),
    ("the log has the target of CONNECT", ["CONNECT"], {"logged.path": ("plain.local:80", None)}),
    ("a connection that was kept and is gone when used again is replaced once for what is idempotent (RFC 9110 9.2.2), outside of the retry policy",
     ["h2 upstream h2.local drop*", "h2 upstream h2-refused.local drop*", "h2 upstream h2-connect.local drop*", "h2 upstream h2-zero.local drop*"],
     instead(200, 503, **SAYS, **NOT_SENT, flags=("-", "UC"), details=ANY, **{"headers.content-type": ANY})),
    ("as above", ["h2 upstream h2-5xx.local drop*", "h2 upstream h2-reset.local drop*"], {"upstream.1.headers.x-envoy-attempt-count": ("1", "2")}),
    ("Istio's default policy would try POST again after an answer; we do so only where the upstream provably has not got it (docs/traffic.md, Retries)",
     ["call h2.local grpc=14|grpc+0", "call h2.local grpc=1|grpc+0"], {
         "attempts": (1, 2), "body": (b"", b"\0\0\0\0\0"), "headers.grpc-status": ANY, "trailers.grpc-status": (None, "0")}),
    ("media types have parameters and no case (RFC 9110 8.3.1)",
     ["call of application/grpc;x=1", "call of application/GRPC"], instead(200, 503, **SAYS, **{
         "headers.content-type": ("application/grpc", "text/plain"), "headers.grpc-status": ("14", None), "headers.grpc-message": ANY})),
]


def expected(name):
    found = {}
    for _, patterns, places in DIFFERENCES:
        if any(pattern == name or fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            found.update(places)
    return found


def unexplained(found, name):
    """What differs otherwise than the table says."""
    table = expected(name)
    # Operators tell of the path and of the upstream once more.
    if {"status", "logged.path", "logged.original"} & table.keys():
        found = {place: pair for place, pair in found.items() if not place.startswith("operators.")}
    wrong = {place: "gone" for place in table if place not in found}
    for place, pair in found.items():
        plain = tuple(value[0] if isinstance(value, list) and len(value) == 1 else value for value in pair)
        if place not in table or table[place] is not ANY and table[place] != plain:
            wrong[place] = pair
    return wrong


def test_the_table_names_cases():
    for _, patterns, _ in DIFFERENCES:
        for pattern in patterns:
            assert any(pattern == name or fnmatch.fnmatchcase(name, pattern) for name in CASES), pattern


@pytest.mark.parametrize("name", CASES)
def test_as_envoy(pair, name):
    one = CASES[name]
    found = differences(*together(lambda: pair.skein.run(one), lambda: pair.envoy.run(one)), one.ignore)
    assert unexplained(found, name) == {}


# --- What takes more than one request -------------------------------------------------------------------------------------


def both(pair, act):
    """What `act` makes of each side."""
    return together(lambda: act(pair.skein), lambda: act(pair.envoy))


def repeat(case_of, count):
    """Sends `count` requests on one connection; the backends' counts tell what became of them."""
    def act(side):
        statuses = collections.Counter()
        connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=20)
        for index in range(count):
            one = case_of(index)
            connection.request(one.method, one.path, headers={"Host": one.host, **dict(one.headers)})
            response = connection.getresponse()
            response.read()
            statuses[response.status] += 1
        connection.close()
        for _ in range(count):
            side.next_line()
        return statuses
    return act


def near(count, total, share):
    """Within five standard deviations: once in two million runs it is not."""
    return abs(count - total * share) <= 5 * math.sqrt(total * share * (1 - share))


def seen(side, *names):
    return [len(side.backends[name].requests) for name in names]


def test_weights(pair):
    before = [seen(side, "web", "second") for side in (pair.skein, pair.envoy)]
    both(pair, repeat(lambda _: Case("weights.local"), 400))
    for side, (web, second) in zip((pair.skein, pair.envoy), before):
        now = seen(side, "web", "second")
        assert now[0] - web + now[1] - second == 400 and near(now[0] - web, 400, 0.75), now


def test_shares_of_faults_and_mirrors(pair):
    for statuses in both(pair, repeat(lambda _: Case("abort-some.local"), 400)):
        assert near(statuses[418], 400, 0.3) and statuses[418] + statuses[200] == 400, statuses
    before = [seen(side, "second")[0] for side in (pair.skein, pair.envoy)]
    both(pair, repeat(lambda _: Case("mirror.local"), 400))
    for side, count in zip((pair.skein, pair.envoy), before):
        wait_for(lambda: near(seen(side, "second")[0] - count, 400, 0.4), what="two of five requests mirrored")


@pytest.mark.parametrize("host, sent", [("mirror-all.local", "mirror-all.local-shadow"), ("mirror-all.local:8080", "mirror-all.local-shadow:8080")])
def test_a_mirrored_request(pair, host, sent):
    def act(side):
        first = seen(side, "second")[0]
        side.run(Case(host, "/a?b", method="POST", headers=(("x-request-id", "one"), ("x-a", "b")), body=b"body"))
        wait_for(lambda: seen(side, "second")[0] > first, what="the copy")
        line, fields, body, lower = side.backends["second"].requests[first]
        return line, body, lower[b"host"], kept([(n.decode(), v.decode()) for n, v in fields if n.lower() != b"host"], REQUEST_IGNORED)

    skein, envoy = both(pair, act)
    assert skein[:3] == (b"POST /a?b HTTP/1.1", b"body", sent.encode()) == envoy[:3]
    # Envoy calls a copy internal because it makes it itself.
    assert {**skein[3], "x-envoy-internal": ["true"]} == envoy[3]


def spread(side, host, header, values):
    """Which endpoint each value goes to."""
    places = {}
    for value in values:
        before = seen(side, "n0", "n1", "n2", "n3")
        side.run(header(host, value))
        after = seen(side, "n0", "n1", "n2", "n3")
        places.setdefault(value, set()).add([b - a for a, b in zip(before, after)].index(1))
    return places


@pytest.mark.parametrize("host, made", [
    ("hash-header.local", lambda host, value: Case(host, headers=(("x-user", value),), upstream="n0")),
    ("hash-query.local", lambda host, value: Case(host, f"/?a=1&u={value}", upstream="n0")),
    ("hash-cookie.local", lambda host, value: Case(host, headers=(("cookie", f"a=b; sid={value}"),), upstream="n0")),
])
def test_a_hash_keeps_to_one_endpoint(pair, host, made):
    # Rings differ between implementations; what holds for both is that a value stays and that values spread.
    for places in both(pair, lambda side: spread(side, host, made, [f"user-{n % 12}" for n in range(36)])):
        assert all(len(where) == 1 for where in places.values()), places
        assert len(set.union(*places.values())) > 1, places


def test_a_hash_cookie_is_made_for_who_has_none(pair):
    found = differences(*both(pair, lambda side: side.run(Case("hash-cookie.local", upstream="n0"))))
    # The endpoint is drawn from the cookie, so the one whose requests are looked at may have got none.
    found.pop("attempts", None)
    assert found == {}


def test_beyond_the_limit_of_requests(pair):
    def act(side):
        before = seen(side, "web")[0]
        held = Held(side, Case("limited.local", script="hang"))
        wait_for(lambda: seen(side, "web")[0] > before, what="the request that holds the place")
        outcomes = [side.run(Case("limited.local")), side.run(Case("limited.local", http2=True))]
        held.abort()
        left = side.next_line()
        wait_for(lambda: side.run(Case("limited.local"))["status"] == 200, what="the place given back")
        return outcomes, (left["flags"], left["code"], left["details"])

    (skein, left), (envoy, left_there) = both(pair, act)
    assert [differences(a, b) for a, b in zip(skein, envoy)] == [{}, {}]
    assert [o["status"] for o in skein] == [503, 503] and skein[0]["flags"] == "UO" and skein[0]["headers"]["x-envoy-overloaded"] == ["true"]
    assert left == left_there == ("DC", 0, "downstream_remote_disconnect")


def test_a_client_that_closes_while_it_waits(pair):
    """Given up at once; and what it sent behind that request is never begun."""
    def act(side):
        before = seen(side, "web")[0]
        held = Held(side, Case("plain.local", script="hang"))
        held.socket.sendall(side.request_bytes(Case("plain.local", "/behind"), "behind"))
        wait_for(lambda: seen(side, "web")[0] > before, what="the request upstream")
        held.socket.shutdown(socket.SHUT_WR)
        # An end and not a reset, though the request behind may have come and be unread.
        end = held.socket.recv(1)
        line = side.next_line()
        after = side.run(Case("plain.local", "/after"))
        return end, line["flags"], line["code"], line["details"], line["path"], after["logged"]["path"], seen(side, "web")[0] - before

    skein, envoy = both(pair, act)
    assert skein == envoy == (b"", "DC", 0, "downstream_remote_disconnect", "/", "/after", 2)


def test_an_ejected_endpoint_leaves_nobody(pair):
    def act(side):
        return [side.run(Case("sick.local", script="503", upstream="sick")) for _ in range(4)]

    skein, envoy = both(pair, act)
    assert [differences(a, b) for a, b in zip(skein, envoy)] == [{}] * 4
    assert [o["flags"] for o in skein] == ["-", "-", "UH", "UH"]


@pytest.mark.parametrize("sent, skein, envoy", [(None, "127.0.0.1", None), ("1.2.3.4", "1.2.3.4,127.0.0.1", "1.2.3.4"), ("1.2.3.4, 5.6.7.8", "1.2.3.4, 5.6.7.8,127.0.0.1", "1.2.3.4, 5.6.7.8")])
def test_forwarded_for(pair, sent, skein, envoy):
    """Skein appends its client; Istio's sidecars leave the list as it is (use_remote_address is off but at gateways)."""
    def act(side):
        side.run(Case("plain.local", headers=(("x-forwarded-for", sent),) if sent else ()))
        return side.backends["web"].requests[-1][3].get(b"x-forwarded-for")

    assert [value and value.decode() for value in both(pair, act)] == [skein, envoy]
