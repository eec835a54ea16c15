/// How pages look: light or dark as the system is, tables that become cards where there is no room for them.
enum PageStyle {
  static let source = #"""
    :root{color-scheme:light dark;--bg:#fff;--fg:#1c1f24;--dim:#5b6470;--line:#d9dde3;--soft:#f4f6f8;--link:#0b62c4;--bad:#c02626;--good:#17803d;--mark:#fff3d6}
    @media(prefers-color-scheme:dark){:root{--bg:#15171c;--fg:#e3e6ea;--dim:#9aa3ad;--line:#31353d;--soft:#1d2027;--link:#7ab7ff;--bad:#ff7b72;--good:#56d364;--mark:#33290f}}
    *{box-sizing:border-box}
    [hidden]{display:none!important}
    body{margin:0 auto;max-width:1400px;padding:12px 16px 60px;background:var(--bg);color:var(--fg);font:14px/1.45 system-ui,sans-serif}
    h1{font-size:21px;margin:8px 0;overflow-wrap:anywhere}
    h1.bad{color:var(--bad)}
    h1.good{color:var(--good)}
    h2{font-size:16px;margin:22px 0 8px}
    header p{margin:2px 0;color:var(--dim);overflow-wrap:anywhere}
    header p.warning{color:var(--bad);font-weight:600}
    .cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:10px;margin-top:14px}
    .card{border:1px solid var(--line);border-radius:8px;padding:8px 12px;background:var(--soft)}
    .card b{display:block;font-size:17px}
    .card span{color:var(--dim)}
    .bad b{color:var(--bad)}
    .good b{color:var(--good)}
    .tools{display:flex;flex-wrap:wrap;gap:8px;margin:8px 0;align-items:center}
    #tools{position:sticky;top:0;z-index:3;background:var(--bg);margin:18px 0 0;padding:8px 0;border-top:1px solid var(--line)}
    #tools p{flex-basis:100%;margin:0}
    #tools.quiet{position:static}
    .narrow{display:none}
    input,select,button{font:inherit;padding:5px 9px;border:1px solid var(--line);border-radius:6px;background:var(--bg);color:var(--fg);max-width:100%}
    #querybox{flex:1 1 260px;color:var(--dim)}
    input[type=search]{flex:1 1 0;min-width:0}
    label{display:inline-flex;gap:6px;align-items:center}
    button{cursor:pointer;color:var(--link)}
    :focus-visible{outline:2px solid var(--link);outline-offset:1px}
    .tabs{display:flex;flex-wrap:wrap;gap:2px;border-bottom:1px solid var(--line);margin:4px 0 10px}
    .tabs button{border:0;border-bottom:3px solid transparent;border-radius:0;background:none;padding:7px 12px;color:var(--dim)}
    .tabs [aria-selected=true]{border-color:var(--link);color:var(--fg);font-weight:600}
    .wide{overflow-x:auto}
    table{border-collapse:collapse;width:100%}
    th,td{padding:4px 8px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top;font-variant-numeric:tabular-nums}
    th{color:var(--dim);font-weight:600}
    th button{border:0;padding:0;background:none;color:inherit;font-weight:inherit}
    th.on{color:var(--link)}
    th.on[aria-sort=descending] button::after{content:" ▾"}
    th.on[aria-sort=ascending] button::after{content:" ▴"}
    td.text,th.text{text-align:left}
    td.name,th.name{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:260px}
    td.name{font-family:ui-monospace,Menlo,monospace;font-size:12.5px}
    #panel-graph td:not(.name){width:1%}
    tr.site,tr.node,tr.finding{cursor:pointer}
    tr.site:hover,tr.node:hover,tr.finding:hover{background:var(--soft)}
    tr.on{background:var(--mark)}
    tr:focus-visible{outline-offset:-2px}
    .finding td{padding:6px 8px}
    .finding td.kind{white-space:normal}
    .finding td.name{min-width:150px}
    .number{display:none}
    #remarks{color:var(--dim)}
    #remarks p{margin:3px 0;overflow-wrap:anywhere}
    #remarks code{color:var(--fg);user-select:all}
    .stack{margin:4px 0 8px;padding-left:10px;border-left:3px solid var(--line)}
    .stack div{padding:1px 0}
    .library{color:var(--dim)}
    .fold{display:block;border:0;padding:1px 0;background:none;font:inherit;text-align:left;overflow-wrap:anywhere}
    .facts{display:flex;flex-wrap:wrap;gap:4px 12px;color:var(--dim);font-family:system-ui,sans-serif}
    .term{border:0;padding:0;background:none;color:inherit;text-align:left;text-decoration:underline dotted;text-underline-offset:3px;cursor:help}
    .card .term{color:var(--dim)}
    .dim{color:var(--dim)}
    .word{cursor:help}
    th .word{cursor:pointer}
    svg{display:block;width:100%}
    svg text{fill:var(--fg)}
    svg .tick,svg .axis{font-size:11px;fill:var(--dim)}
    svg .grid{stroke:var(--line)}
    svg .cursor{stroke:var(--fg);stroke-dasharray:2 2}
    svg .whole{fill:none;stroke:var(--fg);stroke-width:1.8}
    svg .rss{fill:none;stroke:var(--link);stroke-width:1.6}
    .spark{width:80px;height:20px;margin-left:auto}
    .spark path{fill:none;stroke:var(--link);stroke-width:1.5}
    #legend{display:flex;flex-wrap:wrap;gap:4px 14px;margin-top:4px}
    .legend{border:0;padding:0;background:none;color:var(--fg);font-family:ui-monospace,Menlo,monospace;font-size:12px;text-align:left;overflow-wrap:anywhere}
    .legend i{display:inline-block;width:10px;height:10px;margin-right:5px;border-radius:2px;opacity:.75}
    #flame .f{cursor:pointer}
    #flame .f text{fill:#111;pointer-events:none}
    #flame .hit rect{fill:#b14ae0}
    #flame .hit text{fill:#fff}
    #flame .f:hover rect{stroke:var(--fg)}
    #flame .f:focus{outline:none}
    #flame .f:focus-visible rect,#flame .f:focus rect{stroke:var(--fg);stroke-width:2.5}
    #info{min-height:1.5em;overflow-wrap:anywhere;margin:4px 0}
    #tip{position:fixed;z-index:9;max-width:min(420px,calc(100vw - 16px));padding:6px 10px;border-radius:6px;background:var(--fg);color:var(--bg);font-size:12.5px;white-space:pre-line;overflow-wrap:anywhere;pointer-events:none}
    #words details{border-bottom:1px solid var(--line);padding:5px 0}
    #words summary{cursor:pointer;font-weight:600}
    #words p{margin:4px 0 6px}
    @media(max-width:700px){
    body{padding:8px 10px 40px}
    h1{font-size:18px}
    .cards{grid-template-columns:repeat(2,minmax(0,1fr))}
    #tools{position:static}
    .narrow{display:flex}
    .tabs button{padding:8px}
    .cardtable thead{display:none}
    .cardtable,.cardtable tbody,.cardtable tr,.cardtable td{display:block;width:100%}
    .cardtable tr{border:1px solid var(--line);border-radius:8px;margin:0 0 8px;padding:6px 10px}
    .cardtable tr.detail{background:var(--soft);margin-top:-4px}
    .cardtable td{display:flex;justify-content:space-between;gap:12px;border:0;padding:2px 0;white-space:normal;text-align:right}
    .cardtable td:empty{display:none}
    .cardtable td::before{content:attr(data-label);color:var(--dim);font-family:system-ui,sans-serif;white-space:nowrap}
    .cardtable td.rank{display:none}
    .number{display:inline}
    .cardtable td.name{display:block;text-align:left;min-width:0}
    .cardtable td.name::before{content:none}
    .cardtable tr:not(.detail){display:grid;grid-template-columns:1fr 1fr;gap:0 18px}
    .cardtable tr:not(.detail) td.name{order:-1;grid-column:1/-1;padding-bottom:4px}
    button,select,input[type=search]{min-height:36px}
    .term,.fold,.legend{min-height:28px}
    th button{min-height:0}
    }

    """#
}
