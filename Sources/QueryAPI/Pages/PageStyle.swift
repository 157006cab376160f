/// What all pages have in common: one style sheet, light and dark, no assets from anywhere.
enum PageStyle {
    static let css = """
        :root{color-scheme:light dark;--bg:#f7f8fa;--card:#fff;--ink:#1c2430;--soft:#5c6675;--line:#e3e7ed;--accent:#0b66c3;\
        --bar:#4c8dd6;--bad:#c62f2f;--badbg:#fdecec;--good:#1b7f4b;--code:#f0f2f6}
        @media (prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1a2028;--ink:#e4e9f0;--soft:#98a3b3;--line:#2b333f;--accent:#6db3f8;\
        --bar:#3f7fc8;--bad:#ff8a80;--badbg:#3a2022;--good:#6fd3a0;--code:#222a34}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Cantarell,sans-serif}
        main,header{max-width:1120px;margin:0 auto;padding:0 20px}
        header{display:flex;align-items:baseline;gap:14px;flex-wrap:wrap;padding-top:26px}
        h1{font-size:22px;margin:0;letter-spacing:-.01em}
        h2{font-size:15px;margin:0 0 10px}
        a{color:var(--accent);text-decoration:none}
        a:hover{text-decoration:underline}
        .soft{color:var(--soft)}
        .card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px;margin:16px 0;overflow-x:auto}
        .chips{display:flex;flex-wrap:wrap;gap:8px}
        .chip{border:1px solid var(--line);border-radius:999px;padding:2px 12px;background:var(--bg);max-width:100%;overflow-wrap:anywhere}
        table{border-collapse:collapse;width:100%;font-size:14px}
        th{text-align:left;font-weight:600;color:var(--soft);font-size:12px;text-transform:uppercase;letter-spacing:.04em}
        th,td{padding:7px 14px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
        tr:last-child td{border-bottom:0}
        td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
        td.t{white-space:nowrap;color:var(--soft);font-variant-numeric:tabular-nums}
        td.w{overflow-wrap:anywhere;min-width:150px}
        @media (max-width:700px){.wide{display:none}td.t{white-space:normal;min-width:90px}th,td{padding-right:10px}}
        .bad{color:var(--bad);background:var(--badbg);border-radius:6px;padding:0 8px;font-size:12px;font-weight:600;white-space:nowrap}
        .good{color:var(--good);font-weight:600}
        pre{background:var(--code);border-radius:8px;padding:10px 12px;margin:6px 0 14px;overflow-x:auto;user-select:all;\
        font:13px/1.45 ui-monospace,"SFMono-Regular",Menlo,Consolas,monospace;white-space:pre}
        pre:last-child{margin-bottom:0}
        .fall{display:grid;grid-template-columns:minmax(220px,34%) 1fr;font-size:14px}
        .fall>div{border-bottom:1px solid var(--line);padding:6px 0;min-width:0}
        .name{overflow-wrap:anywhere;padding-right:12px!important}
        .lane{position:relative;min-height:34px}
        .bar{position:absolute;top:9px;height:16px;border-radius:4px;background:var(--bar);min-width:2px}
        .bar.err{background:var(--bad)}
        .dur{position:absolute;top:6px;font-size:12px;color:var(--soft);white-space:nowrap;padding:0 6px;line-height:22px}
        details{margin:2px 0 4px}
        summary{cursor:pointer;color:var(--soft);font-size:12px}
        dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:4px 0;font-size:13px}
        dt{color:var(--soft)}
        dd{margin:0;overflow-wrap:anywhere}
        footer{max-width:1120px;margin:0 auto;padding:6px 20px 40px;font-size:13px;color:var(--soft)}
        """

    static func begin(_ title: String, to page: inout [UInt8]) {
        page.append(text: "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
        page.append(text: "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>")
        page.append(escaped: title)
        page.append(text: "</title><link rel=\"icon\" href=\"data:,\"><style>\(css)</style></head><body>\n")
    }

    static func end(_ version: String, script: String = "", to page: inout [UInt8]) {
        page.append(text: "<footer>Skein ")
        page.append(escaped: version)
        page.append(
            text:
                " · <a href=\"/metrics\">metrics</a> · <a href=\"/api/v2/services\">Zipkin API</a> · <a "
                    + "href=\"/health\">health</a></footer>\n")
        if !script.isEmpty { page.append(text: "<script>\(script)</script>\n") }
        page.append(text: "</body></html>\n")
    }
}
