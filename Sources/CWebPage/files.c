// The files of the page, embedded as they are (C23 #embed). No logic: arrays and their lengths.
// A new file of `web/` is three lines and one row here; a test compares both.
#pragma clang diagnostic ignored "-Wc23-extensions"
#include "CWebPage.h"

static const unsigned char api_js[] = {
#embed "web/api.js"
};
static const unsigned char app_js[] = {
#embed "web/app.js"
};
static const unsigned char ask_js[] = {
#embed "web/ask.js"
};
static const unsigned char base_css[] = {
#embed "web/base.css"
};
static const unsigned char changes_js[] = {
#embed "web/changes.js"
};
static const unsigned char chart_js[] = {
#embed "web/chart.js"
};
static const unsigned char clusters_js[] = {
#embed "web/clusters.js"
};
static const unsigned char compare_js[] = {
#embed "web/compare.js"
};
static const unsigned char complete_js[] = {
#embed "web/complete.js"
};
static const unsigned char config_js[] = {
#embed "web/config.js"
};
static const unsigned char differences_js[] = {
#embed "web/differences.js"
};
static const unsigned char dom_js[] = {
#embed "web/dom.js"
};
static const unsigned char explain_js[] = {
#embed "web/explain.js"
};
static const unsigned char format_js[] = {
#embed "web/format.js"
};
static const unsigned char graph_js[] = {
#embed "web/graph.js"
};
static const unsigned char health_js[] = {
#embed "web/health.js"
};
static const unsigned char hints_js[] = {
#embed "web/hints.js"
};
static const unsigned char icon_svg[] = {
#embed "web/icon.svg"
};
static const unsigned char lastload_js[] = {
#embed "web/lastload.js"
};
static const unsigned char layout_js[] = {
#embed "web/layout.js"
};
static const unsigned char livelog_js[] = {
#embed "web/livelog.js"
};
static const unsigned char location_js[] = {
#embed "web/location.js"
};
static const unsigned char logs_js[] = {
#embed "web/logs.js"
};
static const unsigned char mesh_js[] = {
#embed "web/mesh.js"
};
static const unsigned char minimap_js[] = {
#embed "web/minimap.js"
};
static const unsigned char notice_js[] = {
#embed "web/notice.js"
};
static const unsigned char overview_js[] = {
#embed "web/overview.js"
};
static const unsigned char pairs_js[] = {
#embed "web/pairs.js"
};
static const unsigned char policies_js[] = {
#embed "web/policies.js"
};
static const unsigned char retries_js[] = {
#embed "web/retries.js"
};
static const unsigned char scatter_js[] = {
#embed "web/scatter.js"
};
static const unsigned char search_js[] = {
#embed "web/search.js"
};
static const unsigned char service_js[] = {
#embed "web/service.js"
};
static const unsigned char shell_html[] = {
#embed "web/shell.html"
};
static const unsigned char spanpanel_js[] = {
#embed "web/spanpanel.js"
};
static const unsigned char table_js[] = {
#embed "web/table.js"
};
static const unsigned char theme_js[] = {
#embed "web/theme.js"
};
static const unsigned char trace_css[] = {
#embed "web/trace.css"
};
static const unsigned char trace_js[] = {
#embed "web/trace.js"
};
static const unsigned char traces_js[] = {
#embed "web/traces.js"
};
static const unsigned char tree_js[] = {
#embed "web/tree.js"
};
static const unsigned char twotraces_js[] = {
#embed "web/twotraces.js"
};
static const unsigned char unscripted_css[] = {
#embed "web/unscripted.css"
};
static const unsigned char views_css[] = {
#embed "web/views.css"
};
static const unsigned char waterfall_js[] = {
#embed "web/waterfall.js"
};

#define FILE(name, bytes) {name, bytes, sizeof bytes}

static const CWebPageFile files[] = {
    FILE("api.js", api_js),
    FILE("app.js", app_js),
    FILE("ask.js", ask_js),
    FILE("base.css", base_css),
    FILE("changes.js", changes_js),
    FILE("chart.js", chart_js),
    FILE("clusters.js", clusters_js),
    FILE("compare.js", compare_js),
    FILE("complete.js", complete_js),
    FILE("config.js", config_js),
    FILE("differences.js", differences_js),
    FILE("dom.js", dom_js),
    FILE("explain.js", explain_js),
    FILE("format.js", format_js),
    FILE("graph.js", graph_js),
    FILE("health.js", health_js),
    FILE("hints.js", hints_js),
    FILE("icon.svg", icon_svg),
    FILE("lastload.js", lastload_js),
    FILE("layout.js", layout_js),
    FILE("livelog.js", livelog_js),
    FILE("location.js", location_js),
    FILE("logs.js", logs_js),
    FILE("mesh.js", mesh_js),
    FILE("minimap.js", minimap_js),
    FILE("notice.js", notice_js),
    FILE("overview.js", overview_js),
    FILE("pairs.js", pairs_js),
    FILE("policies.js", policies_js),
    FILE("retries.js", retries_js),
    FILE("scatter.js", scatter_js),
    FILE("search.js", search_js),
    FILE("service.js", service_js),
    FILE("shell.html", shell_html),
    FILE("spanpanel.js", spanpanel_js),
    FILE("table.js", table_js),
    FILE("theme.js", theme_js),
    FILE("trace.css", trace_css),
    FILE("trace.js", trace_js),
    FILE("traces.js", traces_js),
    FILE("tree.js", tree_js),
    FILE("twotraces.js", twotraces_js),
    FILE("unscripted.css", unscripted_css),
    FILE("views.css", views_css),
    FILE("waterfall.js", waterfall_js),
};

const CWebPageFile *CWebPageFiles(void) { return files; }
size_t CWebPageFileCount(void) { return sizeof files / sizeof files[0]; }
